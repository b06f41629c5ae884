// Attention that never holds the matrix of all weights (flash attention).
//
// y = P v with P = softmax(S) row by row and S = scale q k^T + mask. S and P are L x L for each head;
// here a block of threads makes them in tiles of 32 x 32 and uses each tile up at once. A block takes
// 32 queries of one head and goes over the keys, 32 at a time. The softmax is corrected on the way
// (online softmax): m is the largest score of a row so far, t the sum of e^(S - m), y the sum of
// e^(S - m) v; when a new tile has a larger score m', t and y are multiplied by e^(m - m') before
// the tile is added. At the end y is divided by t. The row's m and 1 / t are kept.
//
// The backward makes each tile of P again from q, k, m and t. With g the gradient of y:
//
//     dv = P^T g        dP = g v^T        dS = P (dP - delta), delta = g . y of the row
//     dq = scale dS k   dk = scale dS^T q
//
// A sum over keys (dq) and sums over queries (dk, dv) go over the tiles in different directions:
// two kernels, so that each result is written by one thread and no sum depends on a race. The
// second makes the tiles transposed: its rows are keys, its columns queries.
//
// A block has 32 x 8 threads. Its warp w holds, of each tile, the rows w, w + 8, w + 16 and w + 24,
// a column for each lane: the largest score of a row and its sum are shuffles within a warp.
// Factors come through shared memory in tiles of 32 x 32 too, so the features may be many; for what
// is summed up in registers there are 4 tiles: at most 128 features.
//
// T. Dao, D. Y. Fu, S. Ermon, A. Rudra, C. Ré, FlashAttention, 2022, https://arxiv.org/abs/2205.14135

#include "common.cuh"

const int SIDE = 32;   // of a tile
const int WARPS = 8;   // blockDim is (SIDE, WARPS)
const int OWN = 4;     // the rows of a tile that a warp holds: threadIdx.y + WARPS * r, r < OWN
const int CHUNKS = 4;  // the most tiles that the features of a row fill

// One column more than needed: so the 32 numbers of a column lie in 32 different banks.
template <typename A>
using Tile = A[SIDE][SIDE + 1];

// A matrix (rows, columns) in row order.
template <typename T>
struct Matrix {
  const T* at;
  long long rows, columns;
};

template <typename Combine, typename A>
__device__ A over_warp(A value) {
  for (int step = 16; step > 0; step /= 2)
    value = Combine::of(value, __shfl_xor_sync(0xffffffff, value, step));
  return value;
}

// The tile of x that begins at (row, column); zeros outside of x.
template <typename T, typename A>
__device__ void load(Tile<A>& tile, Matrix<T> x, long long row, long long column) {
  for (int r = threadIdx.y; r < SIDE; r += WARPS) {
    bool inside = row + r < x.rows && column + threadIdx.x < x.columns;
    tile[r][threadIdx.x] = inside ? (A)x.at[(row + r) * x.columns + column + threadIdx.x] : A(0);
  }
}

// This thread's numbers of a tile of a b^T: the rows of a from a_row on, those of b from b_row on.
template <typename T, typename A>
__device__ void products(A* own, Matrix<T> a, long long a_row, Matrix<T> b, long long b_row) {
  __shared__ A left[SIDE][SIDE + 1];
  __shared__ A right[SIDE][SIDE + 1];
  for (int r = 0; r < OWN; ++r) own[r] = 0;
  for (long long column = 0; column < a.columns; column += SIDE) {
    __syncthreads();  // the tiles before may still be read
    load(left, a, a_row, column);
    load(right, b, b_row, column);
    __syncthreads();
#pragma unroll 8
    for (int c = 0; c < SIDE; ++c)
      for (int r = 0; r < OWN; ++r)
        own[r] += left[threadIdx.y + WARPS * r][c] * right[threadIdx.x][c];
  }
}

// sums += tile x, for the rows of x from `row` on. The tile is this thread's numbers `own` and those
// of the others; sums[r][c] belongs to row r of this warp and column 32 c + threadIdx.x.
template <typename T, typename A>
__device__ void add_rows(A (*sums)[CHUNKS], const A* own, Matrix<T> x, long long row) {
  __shared__ A tile[SIDE][SIDE + 1];
  __shared__ A factors[SIDE][SIDE + 1];
  __syncthreads();  // the tiles before may still be read
  for (int r = 0; r < OWN; ++r) tile[threadIdx.y + WARPS * r][threadIdx.x] = own[r];
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) {
    if (c * SIDE >= x.columns) break;
    if (c > 0) __syncthreads();
    load(factors, x, row, c * SIDE);
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < SIDE; ++j)
      for (int r = 0; r < OWN; ++r)
        sums[r][c] += tile[threadIdx.y + WARPS * r][j] * factors[j][threadIdx.x];
  }
}

// Writes factor[r] sums as the rows of out (rows, columns) from `row` on.
template <typename T, typename A>
__device__ void store(A (*sums)[CHUNKS], const A* factor, T* out, long long rows, long long columns,
                      long long row) {
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c)
    for (int r = 0; r < OWN; ++r) {
      long long i = row + threadIdx.y + WARPS * r, j = c * SIDE + threadIdx.x;
      if (i < rows && j < columns) out[i * columns + j] = factor[r] * sums[r][c];
    }
}

// What masks the scores of one head. `seen` or `added` or both are null; strides of 0 broadcast.
template <typename T>
struct Mask {
  const bool* seen;
  const T* added;
  long long row_stride, column_stride, length, source;
  bool is_causal;

  __device__ Mask(const bool* seen, const T* added, long long head, long long heads,
                  long long batch_stride, long long head_stride, long long row_stride,
                  long long column_stride, long long length, long long source, bool is_causal)
      : row_stride(row_stride), column_stride(column_stride), length(length), source(source),
        is_causal(is_causal) {
    long long start = head / heads * batch_stride + head % heads * head_stride;
    this->seen = seen ? seen + start : seen;
    this->added = added ? added + start : added;
  }

  // Changes the score of query i and key j; is it to be seen? If not, it is -infinity.
  template <typename A>
  __device__ bool apply(A* score, long long i, long long j) const {
    bool visible = i < length && j < source && !(is_causal && j > i);
    long long at = i * row_stride + j * column_stride;
    if (visible && seen) visible = seen[at];
    if (visible && added) {
      A more = added[at];
      *score += more;
      visible = more != -infinity<A>();
    }
    if (!visible) *score = -infinity<A>();
    return visible;
  }
};

// q (heads, L, E), k (heads, S, E), v (heads, S, V), out (heads, L, V); heads: those of all items of
// the batch. tops and shares (heads, L): m and 1 / t. A block for each 32 queries of a head.
template <typename T, typename A>
__global__ void attention(const T* q, const T* k, const T* v, const bool* seen, const T* added,
                          long long heads, long long batch_stride, long long head_stride,
                          long long row_stride, long long column_stride, bool is_causal,
                          long long length, long long source, long long features, long long width,
                          A scale, T* out, A* tops, A* shares) {
  long long tiles = (length + SIDE - 1) / SIDE, head = blockIdx.x / tiles;
  long long row = blockIdx.x % tiles * SIDE;
  Mask<T> mask(seen, added, head, heads, batch_stride, head_stride, row_stride, column_stride,
               length, source, is_causal);
  Matrix<T> queries = {q + head * length * features, length, features};
  Matrix<T> keys = {k + head * source * features, source, features};
  Matrix<T> values = {v + head * source * width, source, width};
  A top[OWN], total[OWN], sums[OWN][CHUNKS] = {};
  bool any[OWN];
  for (int r = 0; r < OWN; ++r) top[r] = -infinity<A>(), total[r] = 0, any[r] = false;

  long long end = is_causal && row + SIDE < source ? row + SIDE : source;
  for (long long column = 0; column < end; column += SIDE) {
    A weight[OWN];
    products(weight, queries, row, keys, column);
    for (int r = 0; r < OWN; ++r) {
      A score = weight[r] * scale;
      bool visible = mask.apply(&score, row + threadIdx.y + WARPS * r, column + threadIdx.x);
      any[r] = __any_sync(0xffffffff, visible) || any[r];
      A new_top = Largest::of(top[r], over_warp<Largest>(score));
      A shift = new_top == -infinity<A>() ? A(0) : new_top;  // -inf - -inf would be nan
      A correction = exp(top[r] - shift);
      weight[r] = exp(score - shift);
      total[r] = correction * total[r] + over_warp<Sum>(weight[r]);
      for (int c = 0; c < CHUNKS; ++c) sums[r][c] *= correction;
      top[r] = new_top;
    }
    add_rows(sums, weight, values, column);
  }

  for (int r = 0; r < OWN; ++r) {
    long long i = row + threadIdx.y + WARPS * r;
    total[r] = any[r] ? 1 / total[r] : A(0);  // a query that sees nothing gives 0
    if (i < length && threadIdx.x == 0) {
      tops[head * length + i] = top[r] == -infinity<A>() ? A(0) : top[r];
      shares[head * length + i] = total[r];
    }
  }
  store(sums, total, out + head * length * width, length, width, row);
}

// dq (heads, L, E), deltas (heads, L), and dmask (heads, L, S) unless it is null. A block for each
// 32 queries of a head.
template <typename T, typename A>
__global__ void attention_queries(const T* g, const T* q, const T* k, const T* v, const bool* seen,
                                  const T* added, long long heads, long long batch_stride,
                                  long long head_stride, long long row_stride,
                                  long long column_stride, bool is_causal, long long length,
                                  long long source, long long features, long long width, A scale,
                                  const T* out, const A* tops, const A* shares, A* deltas, T* dq,
                                  T* dmask) {
  long long tiles = (length + SIDE - 1) / SIDE, head = blockIdx.x / tiles;
  long long row = blockIdx.x % tiles * SIDE;
  Mask<T> mask(seen, added, head, heads, batch_stride, head_stride, row_stride, column_stride,
               length, source, is_causal);
  Matrix<T> gradients = {g + head * length * width, length, width};
  Matrix<T> queries = {q + head * length * features, length, features};
  Matrix<T> keys = {k + head * source * features, source, features};
  Matrix<T> values = {v + head * source * width, source, width};
  A top[OWN], share[OWN], delta[OWN], scales[OWN], sums[OWN][CHUNKS] = {};
  for (int r = 0; r < OWN; ++r) {
    long long i = row + threadIdx.y + WARPS * r, at = head * length + i;
    bool inside = i < length;
    A dot = 0;
    for (long long c = threadIdx.x; inside && c < width; c += SIDE)
      dot += (A)g[at * width + c] * (A)out[at * width + c];
    delta[r] = over_warp<Sum>(dot);
    top[r] = inside ? tops[at] : A(0);
    share[r] = inside ? shares[at] : A(0);
    scales[r] = scale;
    if (inside && threadIdx.x == 0) deltas[at] = delta[r];
  }

  long long end = is_causal && row + SIDE < source ? row + SIDE : source;
  for (long long column = 0; column < end; column += SIDE) {
    A score[OWN], slope[OWN];
    products(score, queries, row, keys, column);
    products(slope, gradients, row, values, column);  // dP, then dS
    for (int r = 0; r < OWN; ++r) {
      long long i = row + threadIdx.y + WARPS * r, j = column + threadIdx.x;
      score[r] *= scale;
      mask.apply(&score[r], i, j);
      slope[r] = exp(score[r] - top[r]) * share[r] * (slope[r] - delta[r]);
      if (dmask && i < length && j < source) dmask[(head * length + i) * source + j] = slope[r];
    }
    add_rows(sums, slope, keys, column);
  }
  store(sums, scales, dq + head * length * features, length, features, row);
}

// dk (heads, S, E) and dv (heads, S, V). A block for each 32 keys of a head.
template <typename T, typename A>
__global__ void attention_keys(const T* g, const T* q, const T* k, const T* v, const bool* seen,
                               const T* added, long long heads, long long batch_stride,
                               long long head_stride, long long row_stride, long long column_stride,
                               bool is_causal, long long length, long long source,
                               long long features, long long width, A scale, const A* tops,
                               const A* shares, const A* deltas, T* dk, T* dv) {
  long long tiles = (source + SIDE - 1) / SIDE, head = blockIdx.x / tiles;
  long long row = blockIdx.x % tiles * SIDE;  // a row is a key here
  Mask<T> mask(seen, added, head, heads, batch_stride, head_stride, row_stride, column_stride,
               length, source, is_causal);
  Matrix<T> gradients = {g + head * length * width, length, width};
  Matrix<T> queries = {q + head * length * features, length, features};
  Matrix<T> keys = {k + head * source * features, source, features};
  Matrix<T> values = {v + head * source * width, source, width};
  A key_sums[OWN][CHUNKS] = {}, value_sums[OWN][CHUNKS] = {}, scales[OWN], ones[OWN];
  for (int r = 0; r < OWN; ++r) scales[r] = scale, ones[r] = 1;

  for (long long column = is_causal ? row : 0; column < length; column += SIDE) {
    A weight[OWN], slope[OWN];
    products(weight, keys, row, queries, column);
    products(slope, values, row, gradients, column);
    long long i = column + threadIdx.x, at = head * length + i;
    bool inside = i < length;
    A top = inside ? tops[at] : A(0), share = inside ? shares[at] : A(0);
    A delta = inside ? deltas[at] : A(0);
    for (int r = 0; r < OWN; ++r) {
      A score = weight[r] * scale;
      mask.apply(&score, i, row + threadIdx.y + WARPS * r);
      weight[r] = exp(score - top) * share;
      slope[r] = weight[r] * (slope[r] - delta);
    }
    add_rows(value_sums, weight, gradients, column);
    add_rows(key_sums, slope, queries, column);
  }
  store(key_sums, scales, dk + head * source * features, source, features, row);
  store(value_sums, ones, dv + head * source * width, source, width, row);
}
