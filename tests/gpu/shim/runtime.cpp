// CUDA's threads on a CPU, for tests.
//
// The threads of a block are fibers of one OS thread. Each runs until it ends or has to wait (for
// the block, or for its warp); then the next one runs. Where the result depends on which thread
// comes first, two orders of threads give two results. Three orders are offered: forward, reverse,
// and shuffled, of blocks as of threads. Shared memory is filled with nan for each block, and has
// zones around each array that nobody may write to. Nothing is learnt about speed or rounding.
//
// Kernels are compiled with g++ -fsanitize=thread, which calls a function at each access to memory.
// Its own library is not linked; the functions are here, and know what a barrier of CUDA orders.

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "cuda_on_cpu.h"

Dim threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

static std::string failure;  // of this launch; the first one counts
void fail(const std::string& what);

// ---------------------------------------------------------------------------------------- races
//
// Two accesses to one place race if threads of two blocks make them, or two threads of a block with
// no __syncthreads between (for one warp: no __syncwarp either), unless both read or both are atomic.

// Who used a place last, and when: the numbers of the block, the thread, and of the barriers passed.
struct Use {
  int block, thread, barriers, warp_barriers;
  bool atomic;
};
constexpr int NOBODY = -1, SEVERAL = -2;

struct Cell {
  Use written, read;
  bool outside;
};

static bool tracking;
static Use now;           // of the thread that runs
static char* memory;      // all arrays of the launch, with zones around each
static size_t memory_size;
static std::vector<Cell> cells;  // one for each byte of it; an access counts for its first byte

static Cell fresh(bool outside) {
  Use none = {NOBODY, NOBODY, 0, 0, false};
  return {none, none, outside};
}

static bool ordered(const Use& before) {
  if (before.block == NOBODY) return true;
  if (before.block != now.block) return false;
  if (before.thread == now.thread || before.barriers != now.barriers) return true;
  bool one_warp = before.thread != SEVERAL && before.thread / 32 == now.thread / 32;
  return one_warp && before.warp_barriers != now.warp_barriers;
}

static std::string name_of(const Use& use) {
  if (use.block == SEVERAL || use.thread == SEVERAL) return "several threads";
  return "thread " + std::to_string(use.thread) + " of block " + std::to_string(use.block);
}

static void check_access(Cell& cell, bool write, const char* where) {
  const char* access = write ? "a write" : "a read";
  if (cell.outside) {
    tracking = false;
    fail(std::string(access) + " out of the bounds of an array in " + where + ", by " +
         name_of(now));
  }
  bool fine = ordered(cell.written) || (now.atomic && cell.written.atomic);
  if (write) fine = fine && (ordered(cell.read) || (now.atomic && cell.read.atomic));
  if (!fine) {
    tracking = false;
    fail("a race: " + name_of(ordered(cell.written) ? cell.read : cell.written) + " and " +
         name_of(now) + " use one place in " + where + ", with no barrier between them");
  }
  if (write) {
    cell.written = now;
  } else if (cell.read.block == NOBODY || (cell.read.block == now.block && ordered(cell.read))) {
    cell.read = now;
  } else if (cell.read.block != now.block) {
    cell.read.block = SEVERAL;
  } else if (cell.read.thread != now.thread) {
    cell.read.thread = SEVERAL;
  }
}

// ------------------------------------------------------------------------------- shared memory

constexpr size_t ZONE = 64, STATIC_LIMIT = 48 * 1024, ARENA = 1 << 20;

struct Variable {
  const void* key;
  size_t offset, size;
};
alignas(64) static char arena[ARENA];
static std::vector<Variable> variables;
static size_t arena_top = ARENA, dynamic_size;
static std::vector<Cell> arena_cells(ARENA, fresh(true));

static void note_access(void* address, bool write) {
  if (!tracking) return;
  size_t at = (char*)address - memory;
  if (at < memory_size) return check_access(cells[at], write, "global memory");
  at = (char*)address - arena;
  if (at < ARENA) check_access(arena_cells[at], write, "shared memory");
}

void* in_shared(const void* key, size_t size) {
  for (auto& v : variables)
    if (v.key == key) return arena + v.offset;
  variables.push_back({key, arena_top + ZONE, size});
  arena_top += ZONE + (size + 63) / 64 * 64 + ZONE;
  if (arena_top > ARENA) {
    fprintf(stderr, "shim: too much shared memory\n");
    abort();
  }
  size_t first = variables.back().offset;
  std::fill_n(arena_cells.begin() + first, size, fresh(false));
  return arena + first;
}

static void clear_shared() {
  memset(arena, 0xff, arena_top);
  std::fill_n(arena_cells.begin(), arena_top, fresh(true));
  arena_top = 0;
  variables.clear();
}

static void check_shared() {
  size_t total = 0;
  auto clean = [](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i)
      if ((unsigned char)arena[i] != 0xff) return false;
    return true;
  };
  for (auto& v : variables) {
    bool inside = clean(v.offset - ZONE, v.offset) &&
                  clean(v.offset + v.size, (v.offset + v.size + 63) / 64 * 64 + ZONE);
    if (!inside && failure.empty()) failure = "a write out of the bounds of an array in shared memory";
    if (v.key) total += v.size;
  }
  if (total > STATIC_LIMIT && failure.empty())
    failure = "more than 48 KB of shared memory: " + std::to_string(total) + " bytes";
}

void* dynamic_shared() { return in_shared(nullptr, dynamic_size); }

// -------------------------------------------------------------------------------------- fibers

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
  jmp_buf here;
  bool started;
  char* stack;
  ucontext_t first;
};

struct Thread {
  State state;
  int line;       // where it waits
  unsigned mask;  // of a warp operation: who takes part
  uint64_t given, result[32];
  int barriers, warp_barriers;  // how many it has passed
  Fiber* fiber;                 // null until it has started
};

constexpr size_t STACK = 256 * 1024;
static std::vector<Fiber*> free_fibers;
static std::vector<Thread> threads;
static std::vector<int> order, ready;
static size_t next_ready;
static int current;
static jmp_buf scheduler;
static ucontext_t scheduler_context;
static const Instance* running;
static void** arguments;

static void locate(int t) {
  current = t;
  threadIdx.x = t % blockDim.x;
  threadIdx.y = t / blockDim.x % blockDim.y;
  threadIdx.z = t / (blockDim.x * blockDim.y);
  now.thread = t;
  now.barriers = threads[t].barriers;
  now.warp_barriers = threads[t].warp_barriers;
}

// Runs threads one after the other, until one has to wait: then this fiber is that thread's.
static void fiber_main() {
  for (;;) {
    Fiber* own = threads[current].fiber;
    running->run(running->kernel, arguments);
    threads[current].state = DONE;
    threads[current].fiber = nullptr;
    if (failure.empty() && next_ready < ready.size() && !threads[ready[next_ready]].fiber) {
      locate(ready[next_ready++]);
      threads[current].fiber = own;
    } else {
      free_fibers.push_back(own);
      if (!_setjmp(own->here)) _longjmp(scheduler, 1);
    }
  }
}

// Lets thread t run until it ends or waits.
static void resume(int t) {
  locate(t);
  Fiber*& fiber = threads[t].fiber;
  if (!fiber) {
    if (free_fibers.empty()) {
      fiber = new Fiber();
      void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      fiber->stack = (char*)memory;
    } else {
      fiber = free_fibers.back();
      free_fibers.pop_back();
    }
  }
  Fiber* target = fiber;
  if (_setjmp(scheduler)) return;
  if (target->started) _longjmp(target->here, 1);
  target->started = true;
  getcontext(&target->first);
  target->first.uc_stack.ss_sp = target->stack;
  target->first.uc_stack.ss_size = STACK;
  target->first.uc_link = nullptr;
  makecontext(&target->first, fiber_main, 0);
  swapcontext(&scheduler_context, &target->first);
}

static void wait(State state, int line) {
  Thread& own = threads[current];
  int t = current;
  own.state = state;
  own.line = line;
  if (!_setjmp(own.fiber->here)) _longjmp(scheduler, 1);
  locate(t);
}

void fail(const std::string& what) {
  if (failure.empty()) failure = what;
  wait(AT_BARRIER, -1);  // for ever: the block is given up
}

static std::string who_waits() {
  std::vector<std::pair<std::string, int>> found;
  for (auto& t : threads) {
    std::string where = t.state == DONE         ? "have ended"
                        : t.state == AT_BARRIER ? "wait at __syncthreads in line "
                                                : "wait for their warp in line ";
    if (t.state != DONE) where += std::to_string(t.line);
    auto same = [&](auto& f) { return f.first == where; };
    auto known = std::find_if(found.begin(), found.end(), same);
    if (known == found.end())
      found.push_back({where, 1});
    else
      ++known->second;
  }
  std::string text;
  for (auto& f : found)
    text += (text.empty() ? "" : ", ") + std::to_string(f.second) + " threads " + f.first;
  return text;
}

// Warps all of whose lanes have arrived go on, with what the others gave.
static bool release_warps() {
  bool any = false;
  std::vector<char> released(threads.size());
  for (size_t first = 0; first < threads.size(); first += 32) {
    for (size_t t = first; t < std::min(first + 32, threads.size()); ++t) {
      if (threads[t].state != IN_WARP || released[t]) continue;
      unsigned mask = threads[t].mask;
      bool all = true;
      for (int lane = 0; lane < 32; ++lane) {
        if (!(mask >> lane & 1)) continue;
        size_t u = first + lane;
        if (u >= threads.size()) {
          failure = "a warp operation names a lane that does not exist: the block has " +
                    std::to_string(threads.size()) + " threads";
          return false;
        }
        all = all && threads[u].state == IN_WARP && threads[u].mask == mask &&
              threads[u].line == threads[t].line;
      }
      if (!all) continue;
      for (int lane = 0; lane < 32; ++lane) {
        if (!(mask >> lane & 1)) continue;
        released[first + lane] = 1;
        for (int other = 0; other < 32; ++other)
          if (mask >> other & 1)
            threads[first + lane].result[other] = threads[first + other].given;
      }
      any = true;
    }
  }
  for (int t : order)
    if (released[t]) {
      threads[t].state = READY;
      ready.push_back(t);
    }
  return any;
}

static void run_block() {
  clear_shared();
  for (auto& t : threads) {
    if (t.fiber) free_fibers.push_back(t.fiber), t.fiber->started = false;  // of a failed block
    t.fiber = nullptr;
    t.state = READY;
    t.barriers = t.warp_barriers = 0;
  }
  ready = order;
  next_ready = 0;
  while (failure.empty()) {
    while (next_ready < ready.size() && failure.empty()) resume(ready[next_ready++]);
    if (!failure.empty()) break;
    ready.clear();
    next_ready = 0;
    if (release_warps() || !failure.empty()) continue;
    auto done = [](const Thread& t) { return t.state == DONE; };
    if (std::all_of(threads.begin(), threads.end(), done)) break;
    auto together = [](const Thread& t) {
      return t.state == AT_BARRIER && t.line == threads[0].line;
    };
    if (!std::all_of(threads.begin(), threads.end(), together)) {
      failure = "divergent barrier: " + who_waits();
      break;
    }
    for (auto& t : threads) t.state = READY, ++t.barriers;
    ready = order;
  }
  tracking = false;
  check_shared();
}

// ------------------------------------------------------------------------- barriers, exchanges

void sync_threads(int line) { wait(AT_BARRIER, line); }

unsigned lane() { return current % 32; }

void exchange(int line, unsigned mask, void* value, size_t size, unsigned source_lane) {
  Thread& own = threads[current];
  if (!(mask >> lane() & 1)) fail("a warp operation whose mask leaves out its caller");
  if (!(mask >> source_lane & 1)) fail("a warp operation reads a lane that its mask leaves out");
  own.mask = mask;
  memcpy(&own.given, value, size);
  wait(IN_WARP, line);
  memcpy(value, &own.result[source_lane], size);
}

void sync_warp(int line, unsigned mask) {
  int nothing = 0;
  exchange(line, mask, &nothing, sizeof nothing, lane());
  ++threads[current].warp_barriers;
  locate(current);
}

unsigned ballot(int line, unsigned mask, int predicate) {
  int yes = predicate != 0;
  exchange(line, mask, &yes, sizeof yes, lane());
  unsigned found = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1) found |= (unsigned)(threads[current].result[i] & 1) << i;
  return found;
}

static bool float_atomics;  // the order of threads may show in the last digits

void begin_atomic(bool of_floats) {
  float_atomics = float_atomics || of_floats;
  now.atomic = true;
}

void end_atomic() { now.atomic = false; }

// --------------------------------------------------------------------------------- launching

// What the next launch may use: arrays from spans[2 i] to spans[2 i + 1] of `size` bytes.
static void track(void* base, size_t size, const size_t* spans, int count) {
  memory = (char*)base;
  memory_size = size;
  cells.assign(size, fresh(true));
  for (int i = 0; i < count; ++i)
    std::fill(cells.begin() + spans[2 * i], cells.begin() + spans[2 * i + 1], fresh(false));
}

static void launch(const Instance& what, const unsigned* grid, const unsigned* block, void** args,
                   size_t shared, int schedule, bool tracked, bool last_only) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  running = &what;
  arguments = args;
  dynamic_size = shared;
  failure.clear();
  float_atomics = false;
  unsigned count = block[0] * block[1] * block[2];
  threads.assign(count, Thread());
  order.resize(count);
  for (unsigned t = 0; t < count; ++t) order[t] = t;
  long long total = (long long)grid[0] * grid[1] * grid[2];
  std::vector<long long> blocks;
  for (long long b = last_only ? total - 1 : 0; b < total; ++b) blocks.push_back(b);
  if (schedule == 1) {
    std::reverse(order.begin(), order.end());
    std::reverse(blocks.begin(), blocks.end());
  }
  if (schedule == 2) {
    std::mt19937 random(1);
    std::shuffle(order.begin(), order.end(), random);
    std::shuffle(blocks.begin(), blocks.end(), random);
  }
  for (long long b : blocks) {
    blockIdx.x = b % grid[0];
    blockIdx.y = b / grid[0] % grid[1];
    blockIdx.z = b / grid[0] / grid[1];
    now.block = b;
    now.atomic = false;
    tracking = tracked;
    run_block();
    if (!failure.empty()) break;
  }
}

}  // namespace shim

// ------------------------------------------------------------------- what -fsanitize=thread calls

#define HOOK(NAME, WRITE) \
  extern "C" void NAME(void* address) { shim::note_access(address, WRITE); }
#define HOOKS(SIZE)                         \
  HOOK(__tsan_read##SIZE, false)            \
  HOOK(__tsan_write##SIZE, true)            \
  HOOK(__tsan_unaligned_read##SIZE, false)  \
  HOOK(__tsan_unaligned_write##SIZE, true)
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
extern "C" {
void __tsan_read_range(char* first, size_t size) {
  for (size_t i = 0; i < size; ++i) shim::note_access(first + i, false);
}
void __tsan_write_range(char* first, size_t size) {
  for (size_t i = 0; i < size; ++i) shim::note_access(first + i, true);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}

// ----------------------------------------------------------------------------- what Python calls

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* shim_signature(int i) { return instances[i].signature; }

EXPORTED void shim_track(void* base, size_t size, const size_t* spans, int count) {
  shim::track(base, size, spans, count);
}

EXPORTED const char* shim_launch(int i, const unsigned* grid, const unsigned* block, void** args,
                                 size_t shared, int order, int tracked, int last_only,
                                 int* float_atomics) {
  shim::launch(instances[i], grid, block, args, shared, order, tracked, last_only);
  *float_atomics = shim::float_atomics;
  return shim::failure.c_str();
}
