// Reading and adding at positions: the gradient of an embedding, gather, scatter_add, index_add.
//
// An array of any dimensions is seen as (A, V, B): A the sizes before the dimension that is
// indexed, multiplied, V its size, B the sizes after it.
//
// If a position is named twice, both values must be added. Threads that each add one value would
// need atomic additions, and the result would depend on who came first, in its last bits. So each
// place has one thread, which adds all its values in the order in which they are named. It finds
// them in one of two ways:
//
//     few positions           the thread goes through all of them (scatter_lines)
//     many                    they are sorted first, and those that are equal lie together; the
//                             first of them is where a thread begins (add_slices)
//
// The price: if one position is named very often, one thread adds up very much.
//
// Positions are counted from the end if negative, and those outside are wrapped around, as CuPy
// does. So no kernel reads or writes outside of an array, and none has to report.

#include "common.cuh"

__device__ inline long long wrapped(long long position, long long size) {
  position %= size;
  return position < 0 ? position + size : position;
}

// out (A, V, B) gets values (A, n, B) added at positions (n,) of the middle dimension.
// sorted: the positions in order, none outside; order: where each of them stood.
// A thread for each number of values; only those of the first of equal positions have work.
template <typename T, typename A>
__global__ void add_slices(const T* values, const long long* order, const long long* sorted,
                           T* out, long long before, long long count, long long size,
                           long long after) {
  long long thread = thread_index();
  long long b = thread % after, a = thread / after % before, k = thread / after / before;
  if (k >= count) return;
  long long position = sorted[k];
  if (k > 0 && sorted[k - 1] == position) return;

  out += (a * size + position) * after + b;
  values += a * count * after + b;
  A total = *out;
  for (; k < count && sorted[k] == position; ++k) total += (A)values[order[k] * after];
  *out = total;
}

// out[a,i,b] = x[a, index[a,i,b], b] for x (A, V, B), index and out (A, n, B).
template <typename T>
__global__ void gather(const T* x, const long long* index, T* out, long long before,
                       long long count, long long size, long long after) {
  long long thread = thread_index();
  if (thread >= before * count * after) return;
  long long b = thread % after, a = thread / after / count;
  out[thread] = x[(a * size + wrapped(index[thread], size)) * after + b];
}

// out[a, index[a,i,b], b] += values[a,i,b]: a thread for each (a, b).
template <typename T>
__global__ void scatter_lines(const T* values, const long long* index, T* out, long long before,
                              long long count, long long size, long long after) {
  long long thread = thread_index();
  if (thread >= before * after) return;
  long long b = thread % after, a = thread / after;
  for (long long i = 0; i < count; ++i) {
    long long from = (a * count + i) * after + b;
    long long to = (a * size + wrapped(index[from], size)) * after + b;
    out[to] = out[to] + values[from];
  }
}
