// The cells of LSTM and GRU: what a step does to each unit, once the matrix products are there.
//
// The gates get W_ih x of all steps from one large product before the loop. Each step then needs
// W_hh h, a small product by the array module, and one launch here: a thread for each unit of each
// sequence adds the products and the biases, applies the gates and writes the new state. As single
// operations a step would be a dozen launches, and launches are what short steps are made of.
//
// The gates stay where W_ih x lay (i, f, g, o, or r, z, n, each of n units), for the backward. It
// goes through the steps from the last to the first, and writes the gradients of all gates: those of
// weights and biases are sums over all steps, again large products after the loop.
//
// For an LSTM, with dh and dc the gradients that come from the step after and from the outputs:
//
//     dc += dh o (1 - tanh(c)^2)
//     d(i, f, g, o) = (dc g, dc c_before, dc i, dh tanh(c)), each times its gate's derivative
//     dc = dc f and dh = W_hh^T d(i, f, g, o) for the step before
//
// S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, 1997; J. Appleyard, T. Kocisky, P. Blunsom,
// Optimizing Performance of Recurrent Neural Networks on GPUs, 2016, https://arxiv.org/abs/1604.01946

#include "common.cuh"

template <typename A>
__device__ A logistic(A x) {
  return 1 / (1 + exp(-x));
}

// gates (batch, 4 n): W_ih x, then i, f, g, o. y (batch, 4 n): W_hh h. bias (4 n) or null.
template <typename T, typename A>
__global__ void lstm_cell(T* gates, const T* y, const T* bias, const T* c, T* new_c, T* new_h,
                          long long batch, long long n) {
  long long t = thread_index();
  if (t >= batch * n) return;
  long long unit = t % n, first = t / n * 4 * n + unit;
  A gate[4];
  for (int k = 0; k < 4; ++k) {
    A x = (A)gates[first + k * n] + (A)y[first + k * n] + (bias ? (A)bias[k * n + unit] : A(0));
    gate[k] = k == 2 ? tanh(x) : logistic(x);
    gates[first + k * n] = gate[k];
  }
  A cell = gate[1] * (A)c[t] + gate[0] * gate[2];
  new_c[t] = cell;
  new_h[t] = gate[3] * tanh(cell);
}

// dh (batch, n): from the step after; g, the outputs' gradient, may be null. d (batch, 4 n): of what
// goes into the gates. dc becomes that of the step before.
template <typename T, typename A>
__global__ void lstm_cell_gradient(const T* gates, const T* c, const T* new_c, const T* g,
                                   const T* dh, T* dc, T* d, long long batch, long long n) {
  long long t = thread_index();
  if (t >= batch * n) return;
  long long first = t / n * 4 * n + t % n;
  A i = gates[first], f = gates[first + n], u = gates[first + 2 * n], o = gates[first + 3 * n];
  A from_h = (A)dh[t] + (g ? (A)g[t] : A(0)), bent = tanh((A)new_c[t]);
  A from_c = (A)dc[t] + from_h * o * (1 - bent * bent);
  d[first] = from_c * u * i * (1 - i);
  d[first + n] = from_c * (A)c[t] * f * (1 - f);
  d[first + 2 * n] = from_c * i * (1 - u * u);
  d[first + 3 * n] = from_h * bent * o * (1 - o);
  dc[t] = from_c * f;
}

// gates (batch, 3 n): W_ih x, then r, z, n. y (batch, 3 n): W_hh h. The biases may be null.
// inner (batch, n): W_hn h + b_hn, which the backward needs.
template <typename T, typename A>
__global__ void gru_cell(T* gates, const T* y, const T* x_bias, const T* y_bias, const T* h,
                         T* inner, T* new_h, long long batch, long long n) {
  long long t = thread_index();
  if (t >= batch * n) return;
  long long unit = t % n, first = t / n * 3 * n + unit;
  A x[3], v[3];
  for (int k = 0; k < 3; ++k) {
    x[k] = (A)gates[first + k * n] + (x_bias ? (A)x_bias[k * n + unit] : A(0));
    v[k] = (A)y[first + k * n] + (y_bias ? (A)y_bias[k * n + unit] : A(0));
  }
  A r = logistic(x[0] + v[0]), z = logistic(x[1] + v[1]), fresh = tanh(x[2] + r * v[2]);
  gates[first] = r;
  gates[first + n] = z;
  gates[first + 2 * n] = fresh;
  inner[t] = v[2];
  new_h[t] = fresh + z * ((A)h[t] - fresh);
}

// dx and dy (batch, 3 n): of W_ih x and of W_hh h. dh becomes what goes to the step before directly.
template <typename T, typename A>
__global__ void gru_cell_gradient(const T* gates, const T* inner, const T* h, const T* g, T* dh,
                                  T* dx, T* dy, long long batch, long long n) {
  long long t = thread_index();
  if (t >= batch * n) return;
  long long first = t / n * 3 * n + t % n;
  A r = gates[first], z = gates[first + n], fresh = gates[first + 2 * n];
  A from_h = (A)dh[t] + (g ? (A)g[t] : A(0));
  A dn = from_h * (1 - z) * (1 - fresh * fresh);
  A dr = dn * (A)inner[t] * r * (1 - r);
  A dz = from_h * ((A)h[t] - fresh) * z * (1 - z);
  dx[first] = dr;
  dx[first + n] = dz;
  dx[first + 2 * n] = dn;
  dy[first] = dr;
  dy[first + n] = dz;
  dy[first + 2 * n] = dn * r;
  dh[t] = from_h * z;
}
