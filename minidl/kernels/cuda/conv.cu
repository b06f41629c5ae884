// Convolution of images (N, C, H, W) with filters (O, C / groups, KH, KW).
//
// A window of the image and a filter have C KH KW numbers each; an output is their dot product. So
// im2col writes every window as a column of one large matrix, and all outputs are one product
// filters x columns, which cuBLAS does. It stores each number of the image up to KH KW times, and
// is fast all the same, since nothing on a GPU is as fast as a large matrix product.
//
//     columns (C KH KW, N OH OW):   row (c, k, l), column (n, i, j)
//     columns[c k l, n i j] = x[n, c, i stride - padding + k dilation, j stride - padding + l dilation]
//
// Threads that follow one another take columns that do: they write neighbouring numbers, and with
// stride 1 read neighbouring ones, which the memory delivers together.
//
// col2im is the way back, for the gradient of the image: a pixel gets the sum of all places that it
// was copied to. A thread takes a pixel and looks up those places (it does not take a column and
// add it to the pixels: two threads would add to one pixel, in an order that nobody knows).
//
// If a filter sees one channel only (groups = channels: "depthwise"), its matrices would be a row
// and a few columns: nothing for cuBLAS. Those three sums stand here as they are written on paper.

#include "common.cuh"

// Where in the image (in one dimension) number k of window i lies; it may be outside.
__device__ inline int position_of(int i, int k, int stride, int padding, int dilation) {
  return i * stride - padding + k * dilation;
}

// The window (in one dimension) whose number k lies at this position, or -1 if there is none.
__device__ inline int window_of(int position, int k, int windows, int stride, int padding,
                                int dilation) {
  int begin = position + padding - k * dilation;
  if (begin < 0 || begin % stride != 0 || begin / stride >= windows) return -1;
  return begin / stride;
}

// The number at (row, column), 0 in the border around the image.
template <typename T>
__device__ T pixel_or_zero(const T* image, int row, int column, int height, int width) {
  bool inside = row >= 0 && row < height && column >= 0 && column < width;
  return inside ? image[(long long)row * width + column] : T(0);
}

// A thread for each channel of each window.
template <typename T>
__global__ void im2col(const T* x, T* columns, long long images, int channels, int height,
                       int width, int kernel_h, int kernel_w, int out_h, int out_w, int stride_h,
                       int stride_w, int padding_h, int padding_w, int dilation_h,
                       int dilation_w) {
  long long windows = images * out_h * out_w;
  long long thread = thread_index();
  if (thread >= channels * windows) return;
  long long c = thread / windows, window = thread % windows;
  int j = window % out_w, i = window / out_w % out_h;
  long long n = window / out_w / out_h;

  x += (n * channels + c) * height * width;
  columns += c * kernel_h * kernel_w * windows + window;
  for (int k = 0; k < kernel_h; ++k)
    for (int l = 0; l < kernel_w; ++l) {
      int row = position_of(i, k, stride_h, padding_h, dilation_h);
      int column = position_of(j, l, stride_w, padding_w, dilation_w);
      *columns = pixel_or_zero(x, row, column, height, width);
      columns += windows;
    }
}

// A thread for each number of x, which it writes.
template <typename T, typename A>
__global__ void col2im(const T* columns, T* x, long long images, int channels, int height,
                       int width, int kernel_h, int kernel_w, int out_h, int out_w, int stride_h,
                       int stride_w, int padding_h, int padding_w, int dilation_h,
                       int dilation_w) {
  long long windows = images * out_h * out_w;
  long long thread = thread_index();
  if (thread >= images * channels * height * width) return;
  int column = thread % width, row = thread / width % height;
  long long plane = thread / width / height, c = plane % channels, n = plane / channels;

  columns += c * kernel_h * kernel_w * windows + n * out_h * out_w;
  A total = 0;
  for (int k = 0; k < kernel_h; ++k) {
    int i = window_of(row, k, out_h, stride_h, padding_h, dilation_h);
    if (i < 0) continue;
    for (int l = 0; l < kernel_w; ++l) {
      int j = window_of(column, l, out_w, stride_w, padding_w, dilation_w);
      if (j >= 0) {
        long long number = (long long)k * kernel_w + l;
        total += (A)columns[number * windows + (long long)i * out_w + j];
      }
    }
  }
  x[thread] = total;
}

// ------------------------------------------------------------- one channel for each filter
// Filter o sees channel o / multiplier; channels * multiplier = filters.

// A thread for each output: y[n,o,i,j] = sum_{k,l} x[n, c, ..] weight[o,k,l]
template <typename T, typename A>
__global__ void depthwise(const T* x, const T* weight, T* y, long long images, int channels,
                          int multiplier, int height, int width, int kernel_h, int kernel_w,
                          int out_h, int out_w, int stride_h, int stride_w, int padding_h,
                          int padding_w, int dilation_h, int dilation_w) {
  int filters = channels * multiplier;
  long long thread = thread_index();
  if (thread >= images * filters * out_h * out_w) return;
  int j = thread % out_w, i = thread / out_w % out_h;
  long long plane = thread / out_w / out_h, n = plane / filters;
  int o = plane % filters, c = o / multiplier;

  x += (n * channels + c) * height * width;
  weight += (long long)o * kernel_h * kernel_w;
  A total = 0;
  for (int k = 0; k < kernel_h; ++k)
    for (int l = 0; l < kernel_w; ++l) {
      int row = position_of(i, k, stride_h, padding_h, dilation_h);
      int column = position_of(j, l, stride_w, padding_w, dilation_w);
      A value = pixel_or_zero(x, row, column, height, width);
      total += value * (A)weight[(long long)k * kernel_w + l];
    }
  y[thread] = total;
}

// A thread for each number of x: the sum of weight g over every window that it is in.
template <typename T, typename A>
__global__ void depthwise_input(const T* weight, const T* g, T* x, long long images, int channels,
                                int multiplier, int height, int width, int kernel_h, int kernel_w,
                                int out_h, int out_w, int stride_h, int stride_w, int padding_h,
                                int padding_w, int dilation_h, int dilation_w) {
  long long thread = thread_index();
  if (thread >= images * channels * height * width) return;
  int column = thread % width, row = thread / width % height;
  long long plane = thread / width / height;  // n channels + c
  int c = plane % channels;

  weight += (long long)c * multiplier * kernel_h * kernel_w;
  g += plane * multiplier * out_h * out_w;
  A total = 0;
  for (int k = 0; k < kernel_h; ++k) {
    int i = window_of(row, k, out_h, stride_h, padding_h, dilation_h);
    if (i < 0) continue;
    for (int l = 0; l < kernel_w; ++l) {
      int j = window_of(column, l, out_w, stride_w, padding_w, dilation_w);
      if (j < 0) continue;
      for (int m = 0; m < multiplier; ++m) {
        A value = g[((long long)m * out_h + i) * out_w + j];
        total += value * (A)weight[((long long)m * kernel_h + k) * kernel_w + l];
      }
    }
  }
  x[thread] = total;
}

// A block for each weight: the sum over all images and windows of g and the number under it.
template <typename T, typename A>
__global__ void depthwise_weight(const T* x, const T* g, T* weight, long long images,
                                 int channels, int multiplier, int height, int width,
                                 int kernel_h, int kernel_w, int out_h, int out_w, int stride_h,
                                 int stride_w, int padding_h, int padding_w, int dilation_h,
                                 int dilation_w) {
  int filters = channels * multiplier;
  int l = blockIdx.x % kernel_w, k = blockIdx.x / kernel_w % kernel_h;
  int o = blockIdx.x / kernel_w / kernel_h, c = o / multiplier;
  long long windows = (long long)out_h * out_w;
  A total = 0;
  for (long long at = threadIdx.x; at < images * windows; at += blockDim.x) {
    long long n = at / windows, window = at % windows;
    int row = position_of(window / out_w, k, stride_h, padding_h, dilation_h);
    int column = position_of(window % out_w, l, stride_w, padding_w, dilation_w);
    const T* image = x + (n * channels + c) * height * width;
    A value = pixel_or_zero(image, row, column, height, width);
    total += value * (A)g[(n * filters + o) * windows + window];
  }
  total = over_block<Sum>(total);
  if (threadIdx.x == 0) weight[blockIdx.x] = total;
}
