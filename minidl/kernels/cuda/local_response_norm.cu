// Local response normalisation of images (N, C, P): a window that slides over the channels.
//
//     y_c = x_c base_c^-beta,   base_c = k + scale * sum of x_j^2,   scale = alpha / size
//
// where the sum is over the channels j = c - before .. c + after, as far as there are such. A
// thread takes a number and adds up its window by itself. Threads that follow one another take pixels that
// do, so they read neighbours at each step, and the channels are read `size` times mostly from the
// cache. (A running sum would read them once, but lose digits.)
//
// On the way back x_i is in the windows of the channels i - after .. i + before:
//
//     dx_i = g_i base_i^-beta - 2 beta scale x_i * sum of ratio_c,   ratio_c = g_c y_c / base_c
//
// First the ratios are written, by a thread each; then the sums are taken as they were before.
// Krizhevsky et al. 2012, "ImageNet classification with deep convolutional networks", section 3.3.

#include "common.cuh"

// The channels from c - before to c + after that there are: first .. last - 1.
struct Window {
  int first, last;
  __device__ Window(int c, int channels, int before, int after)
      : first(c < before ? 0 : c - before),
        last(channels - c <= after ? channels : c + after + 1) {}
};

template <typename T, typename A>
__global__ void normalise_locally(const T* x, long long size, int channels, long long pixels,
                                  int before, int after, A scale, A beta, A k, T* y, A* base) {
  long long at = thread_index();
  if (at >= size) return;
  int c = at / pixels % channels;
  Window window(c, channels, before, after);
  A total = 0;
  for (int j = window.first; j < window.last; ++j) {
    A value = x[at + (j - c) * pixels];
    total += value * value;
  }
  total = k + scale * total;
  base[at] = total;
  y[at] = (A)x[at] * pow(total, -beta);
}

// In this order an infinite x gives nan, as in the definition.
template <typename T, typename A>
__global__ void local_ratios(const T* g, const T* x, const A* base, long long size, A beta,
                             A* ratio) {
  long long at = thread_index();
  if (at < size) ratio[at] = (A)g[at] * ((A)x[at] * pow(base[at], -beta)) / base[at];
}

template <typename T, typename A>
__global__ void local_gradient(const T* g, const T* x, const A* base, const A* ratio,
                               long long size, int channels, long long pixels, int before,
                               int after, A scale, A beta, T* dx) {
  long long at = thread_index();
  if (at >= size) return;
  int c = at / pixels % channels;
  Window window(c, channels, after, before);
  A total = 0;
  for (int j = window.first; j < window.last; ++j) total += ratio[at + (j - c) * pixels];
  dx[at] = (A)g[at] * pow(base[at], -beta) - 2 * beta * scale * (A)x[at] * total;
}
