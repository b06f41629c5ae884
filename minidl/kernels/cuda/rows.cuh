// What the threads of a block find out together about a row of numbers.

// The largest number of a row, nan left out.
template <typename T, typename A>
__device__ A largest(const T* x, long long columns) {
  A top = -infinity<A>();
  for (long long c = threadIdx.x; c < columns; c += blockDim.x) top = Largest::of(top, (A)x[c]);
  return over_block<Largest>(top);
}

// sum e^(x - top)
template <typename T, typename A>
__device__ A exp_sum(const T* x, long long columns, A top) {
  A total = 0;
  for (long long c = threadIdx.x; c < columns; c += blockDim.x) total += exp((A)x[c] - top);
  return over_block<Sum>(total);
}
