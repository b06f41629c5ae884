// Functions of one number and their derivatives: a line for each, and a thread for each number.
//
// A formula of CuPy's is a kernel for each of its steps, which read an array from memory and write
// another. Memory is what such a kernel waits for; so the whole formula, done while the number is
// in a register, takes as long as one step.

#include "common.cuh"

// FUNCTION(name, value, gradient): x is the function's input, y its output, g the gradient of its
// output; a and b are its parameters. A is the type to compute in. A gradient reads x or y: the
// array that `gradients` is given is both.
#define FUNCTION(NAME, VALUE, GRADIENT)                                            \
  struct NAME {                                                                    \
    template <typename A>                                                          \
    static __device__ A value(A x, A a, A b) { return VALUE; }                     \
    template <typename A>                                                          \
    static __device__ A gradient(A g, A x, A y, A a, A b) { return GRADIENT; }     \
  };

template <typename A>
__device__ A sigmoid(A x) { return 1 / (1 + exp(-x)); }

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|): e^-|x| cannot overflow.
template <typename A>
__device__ A softplus(A x) { return (x > 0 ? x : A(0)) + log1p(exp(-fabs(x))); }

// The normal distribution function; erfc keeps the digits of its tail.
template <typename A>
__device__ A normal(A x) { return A(0.5) * erfc(x * A(-0.70710678118654752)); }

template <typename A>
__device__ A bell(A x) { return A(0.39894228040143268) * exp(A(-0.5) * x * x); }

// gelu's approximation in other words: (1 + tanh u) / 2 = sigmoid(2 u), u = c (x + d x^3).
template <typename A>
__device__ A tanh_normal(A x) {
  return sigmoid(A(2 * 0.79788456080286536) * (x + A(0.044715) * x * x * x));
}

template <typename A>
__device__ A tanh_normal_gradient(A x) {
  A s = tanh_normal(x);
  // From 10 on s (1 - s) is 0, and x^2 must not become infinite beside it; where x is, it is nan.
  A y = fabs(x) < infinity<A>() ? min(max(x, A(-10)), A(10)) : x;
  return s + y * s * (1 - s) * A(2 * 0.79788456080286536) * (1 + A(3 * 0.044715) * y * y);
}

// tanh(ln(1 + e)) = n / (n + 2), n = e (e + 2), for e = e^x; it is 1 from x = 20 on.
template <typename A>
__device__ A mish_share(A x) {
  A e = exp(x), n = e * (e + 2);
  return x > 20 ? A(1) : n / (n + 2);
}

template <typename A>
__device__ A mish_slope(A x) {
  A e = exp(x), below = e * (e + 2) + 2;
  return x > 20 ? A(0) : 4 * e * (1 + e) / (below * below);
}

template <typename A>
__device__ A cut(A x) { return x <= 0 ? A(0) : x >= 6 ? A(6) : x; }

// clang-format off
FUNCTION(Exp, exp(x), g * y)
FUNCTION(Tanh, tanh(x), g * (1 - y * y))
FUNCTION(Sigmoid, sigmoid(x), g * y * (1 - y))
FUNCTION(Relu, x <= 0 ? A(0) : x, y <= 0 ? g * A(0) : g)  // nan stays: it is not <= 0
FUNCTION(Erf, erf(x), g * A(1.1283791670955126) * exp(-x * x))
FUNCTION(LogSigmoid, -softplus(-x), g * sigmoid(-x))
FUNCTION(Silu, x * sigmoid(x), g * (sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x))))
FUNCTION(Mish, x * mish_share(x), g * (mish_share(x) + x * mish_slope(x)))
FUNCTION(HardSwish, x * cut(x + 3) / 6, g * (cut(x + 3) + (x <= -3 || x >= 3 ? A(0) : x)) / 6)
FUNCTION(Gelu, x * normal(x), g * (normal(x) + x * bell(x)))
FUNCTION(GeluTanh, x * tanh_normal(x), g * tanh_normal_gradient(x))
FUNCTION(LeakyRelu, x > 0 ? x : a * x, x > 0 ? g : g * a)
FUNCTION(Elu, x > 0 ? x : a * expm1(x), x > 0 ? g : g * a * exp(x))
FUNCTION(Softplus, a * x > b ? x : softplus(a * x) / a, a * x > b ? g : g * sigmoid(a * x))
// clang-format on

template <typename T, typename A, typename F>
__global__ void values(const T* x, T* out, long long n, A a, A b) {
  long long i = thread_index();
  if (i < n) out[i] = F::value((A)x[i], a, b);
}

template <typename T, typename A, typename F>
__global__ void gradients(const T* g, const T* x_or_y, T* dx, long long n, A a, A b) {
  long long i = thread_index();
  if (i < n) dx[i] = F::gradient((A)g[i], (A)x_or_y[i], (A)x_or_y[i], a, b);
}
