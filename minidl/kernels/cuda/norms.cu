// Normalisation: y = (x - mean) / sqrt(var + eps) * weight + bias, a block for each mean.
//
// All kinds of it take x as images (N, C, P), P pixels in each of C channels, and differ in whose
// mean it is, the *group*:
//
//     layer_norm    an image of C channels of one pixel (a row); rms_norm the same, with mean = 0
//     group_norm    some neighbouring channels of one image
//     batch_norm    one channel of all images
//
// The first two lie in memory in one piece, the last in N pieces. Thread t takes the numbers
// t, t + blockDim.x, .. of the group: neighbours read neighbouring numbers, which the memory
// delivers together. The group is read once for each step; a row comes from the cache from the
// second time on. (One pixel, many images and the mean of a channel is the sad case: every thread
// reads from another row.)
//
// The variance is the mean of squared distances from the mean, not mean(x^2) - mean(x)^2, which for
// a mean of 10^4 and a variance of 1 loses all 7 digits of a float. Such a mean is itself rounded
// by 10^-3. So the rounded mean is only a `shift`: x - shift is exact, and the mean of what is left,
// the `rest`, is taken off afterwards:
//
//     h = (x - shift) scale + offset,   scale = 1 / sqrt(var + eps),   offset = -rest scale
//
// These three numbers of each group, its statistics, are what the way back needs besides x:
//
//     a = g weight
//     dx = scale (a - mean(a) - h mean(a h))             rms_norm: without mean(a)
//     dweight = sum of g h,   dbias = sum of g           for each channel
//
// The sums of a channel are first taken in parts (of some rows, or of one image), by one block
// each, and the parts added up by a second launch: the same order, and the same bits, every time.
// https://arxiv.org/abs/1607.06450 (layer), https://arxiv.org/abs/1910.07467 (RMS),
// https://arxiv.org/abs/1502.03167 (batch), https://arxiv.org/abs/1803.08494 (group)

#include "common.cuh"

// The numbers of x (N, channels, pixels) that this block normalises together: `per_group` channels
// of `images` images. One of the two is 1, or both. x has fewer than 2^31 numbers, so 32 bits do.
struct Group {
  unsigned size;           // how many numbers
  unsigned piece;          // how many of them lie together
  unsigned first_channel;
  unsigned per_group, pixels;
  unsigned start, step;    // from the start of x, and from piece to piece

  __device__ Group(unsigned channels, unsigned pixels, unsigned per_group, unsigned images)
      : per_group(per_group), pixels(pixels) {
    unsigned groups = channels / per_group;  // in an image
    first_channel = blockIdx.x % groups * per_group;
    piece = per_group * pixels;
    size = images * piece;
    step = channels * pixels;
    start = blockIdx.x / groups * step + first_channel * pixels;
  }
  __device__ unsigned position(unsigned i) const {
    return start + (i < piece ? i : i / piece * step + i % piece);
  }
  __device__ unsigned channel(unsigned i) const {
    if (per_group == 1) return first_channel;
    return first_channel + (pixels == 1 ? i : i / pixels);
  }
};

template <typename A>
struct Statistics {
  A shift, scale, offset;

  __device__ Statistics(const A* statistics, long long group)
      : shift(statistics[3 * group]), scale(statistics[3 * group + 1]),
        offset(statistics[3 * group + 2]) {}
  __device__ A normalised(A x) const { return (x - shift) * scale + offset; }
};

// y, and the statistics (groups, 3). weight and bias may be null, and so may mean and var (groups),
// which get what the user sees. Without `centred` 0 is taken for the mean.
template <typename T, typename A>
__global__ void normalise(const T* x, const T* weight, const T* bias, unsigned channels,
                          unsigned pixels, unsigned per_group, unsigned images, A eps,
                          bool centred, T* y, A* statistics, T* mean, T* var) {
  Group group(channels, pixels, per_group, images);
  A n = group.size, shift = 0;
  if (centred) {
    for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x)
      shift += (A)x[group.position(i)];
    shift = over_block<Sum>(shift) / n;
  }
  A rest = 0, squares = 0;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    A distance = (A)x[group.position(i)] - shift;
    rest += distance;
    squares += distance * distance;
  }
  rest = centred ? over_block<Sum>(rest) / n : A(0);
  A variance = over_block<Sum>(squares) / n - rest * rest;
  if (variance < 0) variance = 0;  // by rounding, where all numbers are equal
  A scale = rsqrt(variance + eps), offset = -rest * scale;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    unsigned at = group.position(i);
    unsigned c = group.channel(i);
    A h = ((A)x[at] - shift) * scale + offset;
    if (weight) h *= (A)weight[c];
    if (bias) h += (A)bias[c];
    y[at] = h;
  }
  if (threadIdx.x > 0) return;
  statistics[3 * (long long)blockIdx.x] = shift;
  statistics[3 * (long long)blockIdx.x + 1] = scale;
  statistics[3 * (long long)blockIdx.x + 2] = offset;
  if (mean) mean[blockIdx.x] = shift + rest;
  if (var) var[blockIdx.x] = variance;
}

// dx of groups of whole rows or channels of one image; weight may be null.
template <typename T, typename A>
__global__ void group_gradient(const T* g, const T* x, const T* weight, const A* statistics,
                               unsigned channels, unsigned pixels, unsigned per_group,
                               bool centred, T* dx) {
  Group group(channels, pixels, per_group, 1);
  Statistics<A> own(statistics, blockIdx.x);
  A mean = 0, slope = 0;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    unsigned at = group.position(i);
    A a = weight ? (A)g[at] * (A)weight[group.channel(i)] : (A)g[at];
    mean += a;
    slope += a * own.normalised(x[at]);
  }
  mean = centred ? over_block<Sum>(mean) / group.size : A(0);
  slope = over_block<Sum>(slope) / group.size;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    unsigned at = group.position(i);
    A a = weight ? (A)g[at] * (A)weight[group.channel(i)] : (A)g[at];
    dx[at] = own.scale * (a - mean - own.normalised(x[at]) * slope);
  }
}

// The same where a group is a channel of all images: its sums are dweight and dbias (channels).
// weight, dx, dweight and dbias may be null.
template <typename T, typename A>
__global__ void channel_gradient(const T* g, const T* x, const T* weight, const A* statistics,
                                 unsigned channels, unsigned pixels, unsigned images, T* dx,
                                 T* dweight, T* dbias) {
  Group group(channels, pixels, 1, images);
  Statistics<A> own(statistics, blockIdx.x);
  A sum = 0, product = 0;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    unsigned at = group.position(i);
    sum += (A)g[at];
    product += (A)g[at] * own.normalised(x[at]);
  }
  sum = over_block<Sum>(sum);
  product = over_block<Sum>(product);
  if (threadIdx.x == 0 && dweight) dweight[blockIdx.x] = product;
  if (threadIdx.x == 0 && dbias) dbias[blockIdx.x] = sum;
  if (!dx) return;
  A factor = weight ? own.scale * (A)weight[blockIdx.x] : own.scale;
  A mean = sum / group.size, slope = product / group.size;
  for (unsigned i = threadIdx.x; i < group.size; i += blockDim.x) {
    unsigned at = group.position(i);
    dx[at] = factor * ((A)g[at] - mean - own.normalised(x[at]) * slope);
  }
}

// ------------------------------------------------------------------ sums for weight and bias
// Channel c of image n was normalised with the statistics n * per_image + c / per_group; per_image
// is 0 where all images have the same. sums (2, parts, channels): of g, and of g h.

// Images of one pixel are rows (N, channels): a thread for each column of a part of the rows, so
// that neighbours read neighbouring numbers. blockIdx.y is the part.
template <typename T, typename A>
__global__ void column_sums(const T* g, const T* x, const A* statistics, long long rows,
                            long long channels, long long per_group, long long per_image,
                            A* sums) {
  long long c = thread_index();
  if (c >= channels) return;
  A sum = 0, product = 0;
  long long part = blockIdx.y, parts = gridDim.y;
  for (long long n = rows * part / parts; n < rows * (part + 1) / parts; ++n) {
    Statistics<A> own(statistics, n * per_image + c / per_group);
    A value = g[n * channels + c];
    sum += value;
    product += value * own.normalised(x[n * channels + c]);
  }
  sums[part * channels + c] = sum;
  sums[(parts + part) * channels + c] = product;
}

// A block for each channel of each image, which is a part.
template <typename T, typename A>
__global__ void plane_sums(const T* g, const T* x, const A* statistics, long long channels,
                           long long pixels, long long per_group, long long per_image, A* sums) {
  long long n = blockIdx.x / channels, c = blockIdx.x % channels;
  Statistics<A> own(statistics, n * per_image + c / per_group);
  g += blockIdx.x * pixels;
  x += blockIdx.x * pixels;
  A sum = 0, product = 0;
  for (long long p = threadIdx.x; p < pixels; p += blockDim.x) {
    sum += (A)g[p];
    product += (A)g[p] * own.normalised(x[p]);
  }
  sum = over_block<Sum>(sum);
  product = over_block<Sum>(product);
  if (threadIdx.x > 0) return;
  sums[blockIdx.x] = sum;
  sums[(long long)gridDim.x + blockIdx.x] = product;
}

// ------------------------------------------------------------------ given mean and variance
// A thread for each number: nothing is to be summed up.

template <typename T, typename A>
__global__ void fixed_norm(const T* x, const T* mean, const T* var, const T* weight, const T* bias,
                           unsigned channels, unsigned pixels, unsigned size, A eps, T* y) {
  long long at = thread_index();
  if (at >= size) return;
  unsigned c = (unsigned)at / pixels % channels;
  A h = ((A)x[at] - (A)mean[c]) * rsqrt((A)var[c] + eps);
  if (weight) h *= (A)weight[c];
  if (bias) h += (A)bias[c];
  y[at] = h;
}

// dx = g factor, one factor for each channel
template <typename T, typename A>
__global__ void fixed_norm_gradient(const T* g, const A* factors, unsigned channels,
                                    unsigned pixels, unsigned size, T* dx) {
  long long at = thread_index();
  if (at < size) dx[at] = (A)g[at] * factors[(unsigned)at / pixels % channels];
}
