// Pooling: the largest number, or the sum, of each window of an image. x (planes, H, W), where the
// planes are the channels of all images; results (planes, OH, OW).
//
// Forward, a thread takes one window. Threads that follow one another take windows that do: they
// read numbers that are neighbours, or nearly so, which the memory delivers together.
//
// Backward, a thread takes one pixel and adds up what comes back to it from the windows that it is
// in. (Were it to take a window and add to its pixels, two threads would add to one pixel, in an
// order that nobody knows.) In one dimension window i has the positions
//
//     i stride - padding + k dilation,   k = 0 .. kernel - 1
//
// so the windows around a position are those whose distance position + padding - i stride is a
// multiple of the dilation, from 0 to (kernel - 1) dilation. The maximum has kept where it found
// each winner: a pixel gets the gradients of those windows that it has won.
// https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html

#include "common.cuh"

// The first largest number of each window, or its first nan, and where it was: h * width + w. The
// first number inside the image is always taken: padding loses even against -infinity.
template <typename T, typename A>
__global__ void max_pool(const T* x, long long planes, int height, int width, int kernel_h,
                         int kernel_w, int out_h, int out_w, int stride_h, int stride_w,
                         int padding_h, int padding_w, int dilation_h, int dilation_w, T* largest,
                         int* where) {
  long long thread = thread_index();
  if (thread >= planes * out_h * out_w) return;
  int j = thread % out_w, i = thread / out_w % out_h;
  x += thread / out_w / out_h * height * width;
  A best = 0;
  int place = -1;
  for (int k = 0; k < kernel_h; ++k) {
    int row = i * stride_h - padding_h + k * dilation_h;
    if (row < 0 || row >= height) continue;
    for (int l = 0; l < kernel_w; ++l) {
      int column = j * stride_w - padding_w + l * dilation_w;
      if (column < 0 || column >= width) continue;
      A value = x[row * width + column];
      if (place < 0 || ((value > best || value != value) && best == best)) {
        best = value;
        place = row * width + column;
      }
    }
  }
  largest[thread] = best;
  where[thread] = place;
}

// A row at a time: sums of sums keep their digits where a window is large.
template <typename T, typename A>
__global__ void sum_pool(const T* x, long long planes, int height, int width, int kernel_h,
                         int kernel_w, int out_h, int out_w, int stride_h, int stride_w, T* out) {
  long long thread = thread_index();
  if (thread >= planes * out_h * out_w) return;
  int j = thread % out_w, i = thread / out_w % out_h;
  x += thread / out_w / out_h * height * width + i * stride_h * width + j * stride_w;
  A total = 0;
  for (int k = 0; k < kernel_h; ++k) {
    A row = 0;
    for (int l = 0; l < kernel_w; ++l) row += (A)x[k * width + l];
    total += row;
  }
  out[thread] = total;
}

// The first window that reaches this position, if `position` counts from the start of the padding.
__device__ inline int first_window(int position, int kernel, int stride, int dilation) {
  int before = position - (kernel - 1) * dilation;
  return before <= 0 ? 0 : (before - 1) / stride + 1;  // rounded up
}

// Each pixel of x gets the sum of g over the windows that it is in; with `where` (else null) only
// over those that it has won.
template <typename T, typename A>
__global__ void spread(const T* g, const int* where, long long planes, int height, int width,
                       int kernel_h, int kernel_w, int out_h, int out_w, int stride_h,
                       int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w,
                       T* x) {
  long long thread = thread_index();
  if (thread >= planes * height * width) return;
  int w = thread % width, h = thread / width % height;
  int row = h + padding_h, column = w + padding_w;
  long long plane = thread / width / height * out_h * out_w;
  int first_i = first_window(row, kernel_h, stride_h, dilation_h);
  int first_j = first_window(column, kernel_w, stride_w, dilation_w);
  A total = 0;
  for (int i = first_i; i < out_h && i * stride_h <= row; ++i) {
    if ((row - i * stride_h) % dilation_h != 0) continue;
    for (int j = first_j; j < out_w && j * stride_w <= column; ++j) {
      if ((column - j * stride_w) % dilation_w != 0) continue;
      long long window = plane + (long long)i * out_w + j;
      if (!where || where[window] == h * width + w) total += (A)g[window];
    }
  }
  x[thread] = total;
}
