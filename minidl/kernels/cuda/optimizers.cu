// The steps of the optimizers: one launch and one pass over a parameter, its gradient and its state.
//
// The array module computes an update rule operation by operation. Each one is a launch of its own,
// which reads and writes the whole parameter: Adam's dozen operations move some thirty numbers
// through the memory for every weight, where seven would do (read the weight, the gradient and two
// averages, write all but the gradient). A GPU multiplies far faster than its memory delivers, so
// here a thread takes one weight, reads what belongs to it, computes in registers and writes.
//
// What is the same for all weights (the learning rate over Adam's bias correction, say) is worked
// out by Python in double precision and comes as a number. The formulas stand in minidl/optim, in
// the functions of the same names.

#include "common.cuh"

// The gradient of one weight, upwards if that is wanted, with the weight decay.
template <typename A>
__device__ A gradient(A g, A p, A decay, bool maximize) {
  g = maximize ? -g : g;
  return decay != 0 ? g + decay * p : g;
}

// The larger of two; nan if one is.
template <typename A>
__device__ A larger(A a, A b) {
  return a > b || a != a ? a : b;
}

// buffer: null without momentum. fresh: 1 - dampening.
template <typename T, typename A>
__global__ void sgd(T* param, const T* grad, T* buffer, long long n, A rate, A momentum, A fresh,
                    A decay, bool nesterov, bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  if (buffer) {
    A b = momentum * (A)buffer[i] + fresh * g;
    buffer[i] = b;
    g = nesterov ? g + momentum * b : b;
  }
  param[i] = p - rate * g;
}

// What Adam and its kin remember: the running means of the gradient and of its square.
template <typename A>
struct Averages {
  A mean, square;

  template <typename T>
  __device__ Averages(T* means, T* squares, long long i, A g, A fresh1, A beta2, A fresh2) {
    mean = means[i];
    means[i] = mean = mean + fresh1 * (g - mean);
    squares[i] = square = beta2 * (A)squares[i] + fresh2 * (g * g);
  }
};

// fresh1: 1 - beta1. fresh2: 1 - beta2. shrink: what decoupled weight decay leaves of a weight.
// rate: lr / (1 - beta1^step). root: 1 / sqrt(1 - beta2^step). largest: null without amsgrad.
template <typename T, typename A>
__global__ void adam(T* param, const T* grad, T* means, T* squares, T* largest, long long n,
                     A fresh1, A beta2, A fresh2, A decay, bool maximize, A shrink, A rate, A root,
                     A eps) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  Averages<A> average(means, squares, i, g, fresh1, beta2, fresh2);
  A square = average.square;
  if (largest) largest[i] = square = larger((A)largest[i], square);
  param[i] = shrink * p - rate * average.mean / (root * sqrt(square) + eps);
}

// now, later: the rates of the gradient and of its running mean.
template <typename T, typename A>
__global__ void nadam(T* param, const T* grad, T* means, T* squares, long long n, A fresh1, A beta2,
                      A fresh2, A decay, bool maximize, A shrink, A now, A later, A root, A eps) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  Averages<A> average(means, squares, i, g, fresh1, beta2, fresh2);
  A move = now * g + later * average.mean;
  param[i] = shrink * p - move / (root * sqrt(average.square) + eps);
}

// adaptive: whether the running mean of squares is known well enough to divide by its root.
template <typename T, typename A>
__global__ void radam(T* param, const T* grad, T* means, T* squares, long long n, A fresh1, A beta2,
                      A fresh2, A decay, bool maximize, A shrink, A rate, bool adaptive, A eps) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  Averages<A> average(means, squares, i, g, fresh1, beta2, fresh2);
  A below = adaptive ? sqrt(average.square) + eps : A(1);
  param[i] = shrink * p - rate * average.mean / below;
}

template <typename T, typename A>
__global__ void adamax(T* param, const T* grad, T* means, T* largest, long long n, A fresh1,
                       A beta2, A decay, bool maximize, A rate, A eps) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  A mean = means[i];
  means[i] = mean = mean + fresh1 * (g - mean);
  A top = larger(beta2 * (A)largest[i], fabs(g) + eps);
  largest[i] = top;
  param[i] = p - rate * mean / top;
}

// buffer: null without momentum. means: null unless centered. fresh: 1 - alpha.
template <typename T, typename A>
__global__ void rmsprop(T* param, const T* grad, T* squares, T* buffer, T* means, long long n,
                        A rate, A alpha, A fresh, A eps, A decay, A momentum, bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  A square = alpha * (A)squares[i] + fresh * (g * g);
  squares[i] = square;
  if (means) {
    A mean = means[i];
    means[i] = mean = mean + fresh * (g - mean);
    square -= mean * mean;
  }
  A move = g / (sqrt(square) + eps);
  if (buffer) buffer[i] = move = momentum * (A)buffer[i] + move;
  param[i] = p - rate * move;
}

template <typename T, typename A>
__global__ void adagrad(T* param, const T* grad, T* totals, long long n, A rate, A decay, A eps,
                        bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  A total = (A)totals[i] + g * g;
  totals[i] = total;
  param[i] = p - rate * g / (sqrt(total) + eps);
}

// moves: the running mean of the squares of the steps. fresh: 1 - rho.
template <typename T, typename A>
__global__ void adadelta(T* param, const T* grad, T* squares, T* moves, long long n, A rate, A rho,
                         A fresh, A eps, A decay, bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  A square = rho * (A)squares[i] + fresh * (g * g), moved = moves[i];
  A move = sqrt(moved + eps) / sqrt(square + eps) * g;
  squares[i] = square;
  moves[i] = rho * moved + fresh * (move * move);
  param[i] = p - rate * move;
}

// shrink: 1 - lambd eta. mu: by how much of the way the average follows.
template <typename T, typename A>
__global__ void asgd(T* param, const T* grad, T* averages, long long n, A eta, A mu, A shrink,
                     A decay, bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A p = param[i], g = gradient((A)grad[i], p, decay, maximize);
  p = shrink * p - eta * g;
  A average = averages[i];
  averages[i] = average + mu * (p - average);
  param[i] = p;
}

// previous: the gradients of the step before. sizes: how far each weight moves.
template <typename T, typename A>
__global__ void rprop(T* param, const T* grad, T* previous, T* sizes, long long n, A shrink, A grow,
                      A least, A most, bool maximize) {
  long long i = thread_index();
  if (i >= n) return;
  A g = maximize ? -(A)grad[i] : (A)grad[i];
  A agree = g * (A)previous[i];
  A size = (A)sizes[i] * (agree > 0 ? grow : agree < 0 ? shrink : A(1));
  size = size < least ? least : size > most ? most : size;
  g = agree < 0 ? A(0) : g;
  sizes[i] = size;
  previous[i] = g;
  param[i] = (A)param[i] - size * (g > 0 ? A(1) : g < 0 ? A(-1) : g);
}
