// Dropout: the random words are drawn where they are used, and never stored; the gradient draws
// them again. A thread takes one counter of the generator: four numbers of x.

#include "common.cuh"
#include "philox.cuh"

// out = x scale where word >> 8 is at least the threshold, else x 0 (which keeps nan).
// Number i takes word offset + i of the seed's sequence.
template <typename T, typename A>
__global__ void dropout(const T* x, T* out, long long n, unsigned long long seed,
                        long long offset, unsigned threshold, A scale) {
  long long counter = offset / 4 + thread_index();
  if (4 * counter >= offset + n) return;
  Words w = philox(counter, seed, 0);
  for (int lane = 0; lane < 4; ++lane) {
    long long i = 4 * counter + lane - offset;
    if (i >= 0 && i < n) out[i] = (A)x[i] * (w.lane[lane] >> 8 >= threshold ? scale : A(0));
  }
}
