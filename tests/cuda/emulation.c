// One warp after the other on the host: each of its threads is a fiber with a stack of its own, and a warp's vote,
// shuffle or barrier is where all of them meet. The kernels call these functions in place of NVVM's intrinsics.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

enum { LANES = 32, STACK = 1 << 17 };
enum { RUNNING, WAITING, DONE };

typedef void (*kernel_type)(void **slots);

static uint32_t block_number, block_count, thread_count, warp_start;
static int lane, failure;
static ucontext_t scheduler, fibers[LANES];
static char *stacks;
static int state[LANES];
static void *site[LANES];
static uint32_t given[LANES];
static kernel_type kernel;
static void **arguments;

uint32_t emulated_tid(void) { return warp_start + lane; }
uint32_t emulated_ctaid(void) { return block_number; }
uint32_t emulated_ntid(void) { return thread_count; }
uint32_t emulated_nctaid(void) { return block_count; }

// Waits until every thread of the warp is at this very call.
static void meet(void *here, uint32_t value) {
    int mine = lane;
    site[mine] = here;
    given[mine] = value;
    state[mine] = WAITING;
    swapcontext(&fibers[mine], &scheduler);
    lane = mine;
}

int emulated_any(uint32_t mask, int mine) {
    if (mask != 0xffffffffu) failure = 2;
    meet(__builtin_return_address(0), mine & 1);
    int any = 0;
    for (int other = 0; other < LANES; other++) any |= given[other];
    return any;
}

uint32_t emulated_down(uint32_t mask, uint32_t value, uint32_t step, uint32_t clamp) {
    if (mask != 0xffffffffu || clamp != 31) failure = 2;
    meet(__builtin_return_address(0), value);
    return lane + step < LANES ? given[lane + step] : value;
}

void emulated_sync(uint32_t mask) {
    if (mask != 0xffffffffu) failure = 2;
    meet(__builtin_return_address(0), 0);
}

static void run_fiber(void) {
    kernel(arguments);
    state[lane] = DONE;
    swapcontext(&fibers[lane], &scheduler);
}

// What a meeting reads must stay until each fiber has read it: a fiber runs on to its next meeting before others of
// this one have read, so that values are taken from a copy.
static int run_warp(void) {
    for (lane = 0; lane < LANES; lane++) {
        getcontext(&fibers[lane]);
        fibers[lane].uc_stack.ss_sp = stacks + (size_t)lane * STACK;
        fibers[lane].uc_stack.ss_size = STACK;
        fibers[lane].uc_link = &scheduler;
        makecontext(&fibers[lane], run_fiber, 0);
        state[lane] = RUNNING;
        site[lane] = 0;
    }
    uint32_t next_given[LANES];
    for (;;) {
        int done = 0;
        for (int turn = 0; turn < LANES; turn++) {
            lane = turn;
            uint32_t before = given[turn];
            swapcontext(&scheduler, &fibers[turn]);
            next_given[turn] = given[turn];
            given[turn] = before;
            done += state[turn] == DONE;
        }
        if (done == LANES) return failure;
        if (done) return 1;
        for (int other = 0; other < LANES; other++) {
            if (site[other] != site[0]) return 1;
            given[other] = next_given[other];
        }
    }
}

// 0: well. 1: threads of a warp went different ways to a meeting. 2: a mask or clamp that is not emulated.
// Only blocks first to last - 1 of the grid are run.
int emulate(kernel_type function, void **slots, uint32_t blocks, uint32_t threads, int meets, uint32_t first,
            uint32_t last) {
    kernel = function;
    arguments = slots;
    block_count = blocks;
    thread_count = threads;
    failure = 0;
    if (meets && !stacks) stacks = malloc((size_t)LANES * STACK);
    for (block_number = first; block_number < last; block_number++) {
        for (uint32_t thread = 0; thread < threads; thread += LANES) {
            warp_start = thread;
            if (meets) {
                int result = run_warp();
                if (result) return result;
            } else {
                for (lane = 0; lane < LANES; lane++) function(slots);
            }
        }
    }
    return 0;
}
