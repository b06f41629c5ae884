// Losses: values in one pass over the predictions, gradients in another.
//
// Cross-entropy of a row of logits x with the label t is ln(sum e^x) - x[t]. Its gradient is
// softmax(x) - onehot(t), which needs two numbers of each row: the largest logit and
// 1 / sum e^(x - largest). No one-hot array, and no second array of the size of the logits, is made.

#include "common.cuh"
#include "rows.cuh"

// Losses, weights, largest logits and shares (1 / sum) of the rows of x (rows, columns); a block for
// each row. weight may be null. A label that is no class gives nan.
template <typename T, typename A>
__global__ void cross_entropy(const T* x, const long long* labels, const T* weight,
                              long long columns, long long ignore_index, A smoothing, T* losses,
                              T* weights, T* tops, T* shares) {
  x += blockIdx.x * columns;
  A top = largest<T, A>(x, columns);
  A total = exp_sum<T, A>(x, columns, top);
  A log_total = log(total), mean = 0;
  if (smoothing > 0) {
    for (long long c = threadIdx.x; c < columns; c += blockDim.x) mean += ((A)x[c] - top) / columns;
    mean = over_block<Sum>(mean);
  }
  if (threadIdx.x > 0) return;
  long long label = labels[blockIdx.x];
  bool used = label != ignore_index, known = label >= 0 && label < columns;
  A own = !used ? A(0) : !known ? not_a_number<A>() : weight ? (A)weight[label] : A(1);
  A loss = 0;
  if (used && known) {
    // In this order: top + log_total would lose digits if top is large.
    loss = log_total - ((A)x[label] - top);
    if (smoothing > 0) loss = (1 - smoothing) * loss + smoothing * (log_total - mean);
  }
  losses[blockIdx.x] = loss * own;
  weights[blockIdx.x] = own;
  tops[blockIdx.x] = top;
  shares[blockIdx.x] = 1 / total;
}

// g has one number, or one for each row; total (null: 1) is what the sum of losses was divided by.
template <typename T, typename A>
__global__ void cross_entropy_gradient(const T* g, bool of_each_row, const T* x,
                                       const long long* labels, const T* weights, const T* total,
                                       const T* tops, const T* shares, long long columns,
                                       long long ignore_index, A smoothing, T* dx) {
  long long row = blockIdx.x;
  A scale = 0;  // also where all labels are to be ignored, and the total is 0
  if (labels[row] != ignore_index) {
    scale = (A)g[of_each_row ? row : 0] * (A)weights[row];
    if (total) scale /= (A)*total;
  }
  A top = tops[row], share = (A)shares[row] * scale, rest = scale * smoothing / columns;
  for (long long c = threadIdx.x; c < columns; c += blockDim.x) {
    A d = exp((A)x[row * columns + c] - top) * share - rest;
    dx[row * columns + c] = c == labels[row] ? d - scale * (1 - smoothing) : d;
  }
}

// Losses of pairs: a number x and its target t.
struct SquaredError {
  template <typename A>
  static __device__ A value(A x, A t) { return (x - t) * (x - t); }
  template <typename A>
  static __device__ A gradient(A x, A t) { return 2 * (x - t); }
  template <typename A>
  static __device__ A target_gradient(A x, A t) { return 2 * (t - x); }
};

struct BinaryCrossEntropy {  // of the logit x: -t ln s(x) - (1 - t) ln(1 - s(x))
  template <typename A>
  static __device__ A value(A x, A t) {
    return (1 - t) * x + (x < 0 ? -x : A(0)) + log1p(exp(-fabs(x)));
  }
  template <typename A>
  static __device__ A gradient(A x, A t) { return (1 - t) - 1 / (1 + exp(x)); }
  template <typename A>
  static __device__ A target_gradient(A x, A t) { return -x; }
};

// Each block adds up the losses of EACH numbers for each of its threads: partial (blocks).
const int EACH = 16;

template <typename T, typename A, typename Loss>
__global__ void pair_losses(const T* x, const T* t, T* partial, long long n) {
  long long first = blockIdx.x * (long long)blockDim.x * EACH + threadIdx.x;
  A total = 0;
  for (int k = 0; k < EACH; ++k) {
    long long i = first + k * (long long)blockDim.x;
    if (i < n) total += Loss::value((A)x[i], (A)t[i]);
  }
  total = over_block<Sum>(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// dx and dt may be null. share: what the sum of losses was multiplied by.
template <typename T, typename A, typename Loss>
__global__ void pair_gradients(const T* g, const T* x, const T* t, T* dx, T* dt, long long n,
                               A share) {
  long long i = thread_index();
  if (i >= n) return;
  A scale = (A)*g * share;
  if (dx) dx[i] = scale * Loss::gradient((A)x[i], (A)t[i]);
  if (dt) dt[i] = scale * Loss::target_gradient((A)x[i], (A)t[i]);
}
