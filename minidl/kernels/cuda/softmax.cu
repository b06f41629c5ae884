// softmax, its logarithm and logsumexp, a block for each row of x (rows, columns).
//
// Thread t takes the columns t, t + blockDim.x, ..: neighbours read neighbouring numbers, which the
// memory delivers together. The row is read again for each step (largest number, sum, result); from
// the second time on it comes from the cache.

#include "common.cuh"
#include "rows.cuh"

template <typename T, typename A>
__global__ void softmax(const T* x, T* out, long long columns) {
  x += blockIdx.x * columns;
  out += blockIdx.x * columns;
  A top = largest<T, A>(x, columns);
  A share = 1 / exp_sum<T, A>(x, columns, top);
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    out[c] = exp((A)x[c] - top) * share;
}

// dx = out (g - sum g out)
template <typename T, typename A>
__global__ void softmax_gradient(const T* g, const T* out, T* dx, long long columns) {
  long long row = blockIdx.x * columns;
  A dot = 0;
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    dot += (A)g[row + c] * (A)out[row + c];
  dot = over_block<Sum>(dot);
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    dx[row + c] = (A)out[row + c] * ((A)g[row + c] - dot);
}

template <typename T, typename A>
__global__ void log_softmax(const T* x, T* out, long long columns) {
  x += blockIdx.x * columns;
  out += blockIdx.x * columns;
  A top = largest<T, A>(x, columns);
  A log_total = log(exp_sum<T, A>(x, columns, top));
  // In this order: top + log_total would lose the last digits of the logarithm if top is large.
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    out[c] = ((A)x[c] - top) - log_total;
}

// dx = g - e^out sum g
template <typename T, typename A>
__global__ void log_softmax_gradient(const T* g, const T* out, T* dx, long long columns) {
  long long row = blockIdx.x * columns;
  A total = 0;
  for (long long c = threadIdx.x; c < columns; c += blockDim.x) total += (A)g[row + c];
  total = over_block<Sum>(total);
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    dx[row + c] = (A)g[row + c] - exp((A)out[row + c]) * total;
}

// out has one number for each row.
template <typename T, typename A>
__global__ void logsumexp(const T* x, T* out, long long columns) {
  x += blockIdx.x * columns;
  A top = largest<T, A>(x, columns);
  A shift = fabs(top) < infinity<A>() ? top : 0;  // infinity - infinity would be nan
  A total = exp_sum<T, A>(x, columns, shift);
  if (threadIdx.x == 0) out[blockIdx.x] = log(total) + shift;
}

// dx = g e^(x - out); g and out have one number for each row.
template <typename T, typename A>
__global__ void logsumexp_gradient(const T* g, const T* x, const T* out, T* dx,
                                   long long columns) {
  long long row = blockIdx.x * columns;
  for (long long c = threadIdx.x; c < columns; c += blockDim.x)
    dx[row + c] = (A)g[blockIdx.x] * exp((A)x[row + c] - (A)out[blockIdx.x]);
}
