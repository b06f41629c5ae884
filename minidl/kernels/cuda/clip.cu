// Gradients kept small: the sum of all squares, a factor for all values, bounds for all values.
//
// The norm of a model's gradients is one number out of millions of values. Their squares are added
// in double precision: no square of a float is too large or too small for it. Each block adds up a
// part of one array into a number of its own, and these are summed afterwards: always in the same
// order. The factor that follows from the norm stays on the GPU and is read by `scale`: nobody
// waits for it.

#include "common.cuh"

// Each block adds up EACH numbers for each of its threads: partial (blocks).
const int EACH = 16;

template <typename T>
__global__ void square_sum(const T* x, double* partial, long long n) {
  long long first = blockIdx.x * (long long)blockDim.x * EACH + threadIdx.x;
  double total = 0;
  for (int k = 0; k < EACH; ++k) {
    long long i = first + k * (long long)blockDim.x;
    if (i < n) total += (double)x[i] * (double)x[i];
  }
  total = over_block<Sum>(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// x = factor x. Most steps need no clipping: then x is not even read.
template <typename T>
__global__ void scale(T* x, const T* factor, long long n) {
  long long i = thread_index();
  if (i < n && *factor != 1) x[i] *= *factor;
}

// x = min(max(x, low), high); nan stays.
template <typename T>
__global__ void clamp(T* x, T low, T high, long long n) {
  long long i = thread_index();
  if (i >= n) return;
  T value = x[i];
  x[i] = value < low ? low : value > high ? high : value;
}
