// Random words and numbers: number k of a sequence is made from its own words, whichever thread
// makes it. A thread takes one counter, whose four words are four words, four float32 or two
// float64 numbers.

#include "common.cuh"
#include "philox.cuh"

// How numbers in [0, 1) are made of the words of a counter.
template <typename A>
struct Uniform {  // float: multiples of 2^-24
  static const int PER_COUNTER = 4, STREAM = 0;
  static __device__ float number(Words w, int i) { return (w.lane[i] >> 8) * 5.9604644775390625e-8f; }
};

template <>
struct Uniform<double> {  // multiples of 2^-53
  static const int PER_COUNTER = 2, STREAM = 1;
  static __device__ double number(Words w, int i) {
    double high = w.lane[2 * i] >> 5, low = w.lane[2 * i + 1] >> 6;
    return (high * 67108864 + low) * 1.1102230246251565e-16;
  }
};

// Words offset .. offset + n - 1 of a sequence.
__global__ void words(unsigned* out, long long n, unsigned long long seed, long long offset,
                      unsigned stream) {
  long long counter = offset / 4 + thread_index();
  if (4 * counter >= offset + n) return;
  Words w = philox(counter, seed, stream);
  for (int i = 0; i < 4; ++i) {
    long long k = 4 * counter + i - offset;
    if (k >= 0 && k < n) out[k] = w.lane[i];
  }
}

template <typename T, typename A>
__global__ void uniforms(T* out, long long n, unsigned long long seed, long long offset) {
  const int PER = Uniform<A>::PER_COUNTER;
  long long counter = offset / PER + thread_index();
  if (PER * counter >= offset + n) return;
  Words w = philox(counter, seed, Uniform<A>::STREAM);
  for (int i = 0; i < PER; ++i) {
    long long k = PER * counter + i - offset;
    if (k >= 0 && k < n) out[k] = Uniform<A>::number(w, i);
  }
}

// Box and Muller: numbers 2j and 2j + 1 are r cos a and r sin a, from the uniform numbers 2j, 2j + 1.
template <typename T, typename A>
__global__ void normals(T* out, long long n, unsigned long long seed, long long offset) {
  const int PER = Uniform<A>::PER_COUNTER;
  long long counter = offset / PER + thread_index();
  if (PER * counter >= offset + n) return;
  Words w = philox(counter, seed, Uniform<A>::STREAM);
  for (int i = 0; i < PER; i += 2) {
    A radius = sqrt(-2 * log1p(-Uniform<A>::number(w, i)));
    A angle = Uniform<A>::number(w, i + 1) * A(6.2831853071795865);
    long long k = PER * counter + i - offset;
    if (k >= 0 && k < n) out[k] = radius * cos(angle);
    if (k + 1 >= 0 && k + 1 < n) out[k + 1] = radius * sin(angle);
  }
}
