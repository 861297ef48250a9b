/* A CUDA driver for tests: devices, contexts, code, memory of the host, streams and events as bare handles. It writes
   down what it is asked, fails where it is told to, and hands launches to a function of the test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef void (*launched)(const char *name, const char *image, unsigned grid, unsigned block, void *stream, void **params);

static int devices = 1, capability[2] = {9, 0}, version = 13000, multiprocessors = 132;
static launched on_launch;
static char *log_text;
static size_t log_size, log_room;
static struct { char name[64]; int after, status; } failure;
static _Thread_local uintptr_t stack[64];
static _Thread_local int depth;

#define MOST 4096
static struct { uint64_t address, size; int device, own; } memory[MOST];
static struct { char *image; } libraries[MOST];
static struct { char name[128]; int library; } kernels[MOST];
static int events[MOST];
static int library_count, kernel_count, event_count;
static int live_events, live_memory, events_are_done = 1;

static void say(const char *text) {
    size_t size = strlen(text);
    if (log_size + size + 2 > log_room) {
        log_room = 2 * (log_size + size + 2);
        log_text = realloc(log_text, log_room);
    }
    memcpy(log_text + log_size, text, size);
    log_size += size;
    log_text[log_size++] = '\n';
    log_text[log_size] = 0;
}

static CUresult entered(const char *name, const char *detail) {
    char line[512];
    snprintf(line, sizeof line, "%s %s", name, detail);
    say(line);
    if (failure.status && !strcmp(failure.name, name) && failure.after-- == 0) {
        CUresult status = failure.status;
        failure.status = 0;
        return status;
    }
    return 0;
}

#define ENTER(...)                                          \
    char detail_[256];                                      \
    snprintf(detail_, sizeof detail_, __VA_ARGS__);         \
    CUresult status_ = entered(__func__, detail_);          \
    if (status_) return status_

/* For the test. */
void fake_configure(int count, int major, int minor, int driver, int sms) {
    devices = count, capability[0] = major, capability[1] = minor, version = driver, multiprocessors = sms;
}
void fake_reset(void) {
    fake_configure(1, 9, 0, 13000, 132);
    on_launch = 0, failure.status = 0, log_size = 0, events_are_done = 1, live_events = 0;
    if (log_text) log_text[0] = 0;
}
const char *fake_log(void) { return log_text ? log_text : ""; }
void fake_clear_log(void) { log_size = 0; if (log_text) log_text[0] = 0; }
void fake_fail(const char *name, int after, int status) {
    snprintf(failure.name, sizeof failure.name, "%s", name);
    failure.after = after, failure.status = status;
}
void fake_on_launch(launched function) { on_launch = function; }
int fake_live_events(void) { return live_events; }
int fake_live_memory(void) { return live_memory; }
int fake_depth(void) { return depth; }
void fake_events_are_done(int done) { events_are_done = done; }
int fake_register(uint64_t address, uint64_t size, int device) {
    for (int i = 0; i < MOST; i++)
        if (!memory[i].size) {
            memory[i].address = address, memory[i].size = size, memory[i].device = device, memory[i].own = 0;
            return 1;
        }
    return 0;
}

/* The driver. */
CUresult cuInit(unsigned flags) { ENTER("%u", flags); return devices ? 0 : 100; }
CUresult cuDriverGetVersion(int *found) { ENTER(" "); *found = version; return 0; }
CUresult cuGetErrorName(int status, const char **text) {
    static _Thread_local char name[32];
    snprintf(name, sizeof name, "CUDA_ERROR_%d", status);
    *text = name;
    return 0;
}
CUresult cuGetErrorString(int status, const char **text) { (void)status; *text = "as the test wanted"; return 0; }
CUresult cuDeviceGetCount(int *found) { ENTER(" "); *found = devices; return 0; }
CUresult cuDeviceGet(int *found, int ordinal) {
    ENTER("%d", ordinal);
    *found = ordinal;
    return ordinal < devices ? 0 : 101;
}
CUresult cuDeviceGetName(char *text, int size, int device) { ENTER("%d", device); snprintf(text, size, "fake %d", device); return 0; }
CUresult cuDeviceGetAttribute(int *found, int attribute, int device) {
    ENTER("%d %d", attribute, device);
    *found = attribute == 16 ? multiprocessors : attribute == 75 ? capability[0] : attribute == 76 ? capability[1] : attribute == 115;
    return 0;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) { ENTER("%d", device); *context = (void *)(uintptr_t)(0x1000 + device); return 0; }
CUresult cuCtxGetCurrent(void **context) { *context = (void *)(depth ? stack[depth - 1] : 0); return 0; }
CUresult cuCtxPushCurrent_v2(void *context) { ENTER("%p", context); stack[depth++] = (uintptr_t)context; return 0; }
CUresult cuCtxPopCurrent_v2(void **context) {
    ENTER(" ");
    if (!depth) return 201;
    *context = (void *)stack[--depth];
    return 0;
}
CUresult cuCtxGetDevice(int *device) { if (!depth) return 201; *device = (int)(stack[depth - 1] - 0x1000); return 0; }
CUresult cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return 0; }
CUresult cuPointerGetAttribute(void *found, int attribute, uint64_t address) {
    ENTER("%d", attribute);
    for (int i = 0; i < MOST; i++)
        if (memory[i].size && memory[i].address <= address && address < memory[i].address + memory[i].size) {
            *(int *)found = memory[i].device;
            return 0;
        }
    return 1;
}
CUresult cuLibraryLoadData(void **library, const char *image, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    ENTER(" ");
    libraries[++library_count].image = strdup(image);
    *library = (void *)(uintptr_t)library_count;
    return 0;
}
CUresult cuLibraryGetKernel(void **kernel, void *library, const char *name) {
    ENTER("%s", name);
    if (++kernel_count >= MOST) return 2;
    snprintf(kernels[kernel_count].name, sizeof kernels[0].name, "%s", name);
    kernels[kernel_count].library = (int)(uintptr_t)library;
    *kernel = (void *)(uintptr_t)kernel_count;
    return 0;
}
static char *assembler_log;
CUresult cuLinkCreate_v2(unsigned n, int *options, void **values, void **linker) {
    ENTER(" ");
    assembler_log = n ? values[0] : 0;
    if (n != 2 || options[0] != 5 || options[1] != 6) return 1;
    *linker = (void *)7;
    return depth ? 0 : 201;
}
static char linked[1 << 20];
static size_t linked_size;
CUresult cuLinkAddData_v2(void *linker, int kind, const char *data, size_t size, const char *name, unsigned n, void *a, void *b) {
    (void)linker, (void)n, (void)a, (void)b;
    ENTER("%d %zu %s", kind, size, name);
    if (size > sizeof linked) return 1;
    memcpy(linked, data, size), linked_size = size;
    return 0;
}
CUresult cuLinkComplete(void *linker, void **image, size_t *size) {
    (void)linker;
    if (assembler_log) strcpy(assembler_log, "line 7: what the assembler says");
    ENTER(" "); *image = linked, *size = linked_size;
    return 0;
}
CUresult cuLinkDestroy(void *linker) { (void)linker; ENTER(" "); return 0; }
CUresult cuMemAllocAsync(uint64_t *address, size_t size, void *stream) {
    ENTER("%zu on %p", size, stream);
    if (!depth) return 201;
    void *made = 0;
    if (posix_memalign(&made, 256, size + 256)) return 2;
    *address = (uint64_t)(uintptr_t)made;
    for (int i = 0; i < MOST; i++)
        if (!memory[i].size) {
            memory[i].address = *address, memory[i].size = size, memory[i].own = 1;
            memory[i].device = (int)(stack[depth - 1] - 0x1000), live_memory++;
            return 0;
        }
    return 2;
}
CUresult cuMemFreeAsync(uint64_t address, void *stream) {
    ENTER("on %p", stream);
    for (int i = 0; i < MOST; i++)
        if (memory[i].own && memory[i].size && memory[i].address == address) {
            memory[i].size = 0, memory[i].own = 0, live_memory--;
            free((void *)(uintptr_t)address);
            return 0;
        }
    return 1;
}
CUresult cuMemsetD16Async(uint64_t address, unsigned short value, size_t count, void *stream) {
    ENTER("on %p", stream);
    for (size_t i = 0; i < count; i++) ((unsigned short *)(uintptr_t)address)[i] = value;
    return 0;
}
CUresult cuMemsetD32Async(uint64_t address, unsigned value, size_t count, void *stream) {
    ENTER("on %p", stream);
    for (size_t i = 0; i < count; i++) ((unsigned *)(uintptr_t)address)[i] = value;
    return 0;
}
CUresult cuMemAlloc_v2(uint64_t *address, size_t size) { return cuMemAllocAsync(address, size, 0); }
CUresult cuMemFree_v2(uint64_t address) { return cuMemFreeAsync(address, 0); }
static int capturing;
void fake_capture(int on) { capturing = on; }
CUresult cuStreamIsCapturing(void *stream, int *status) { (void)stream; *status = capturing; return 0; }
CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
    static _Thread_local int now;
    ENTER("%d", *mode);
    int before = now;
    now = *mode, *mode = before;
    return 0;
}
/* Streams from 0x10000 on are those of device stream / 0x10000 - 1, others of the current context. */
CUresult cuStreamGetCtx(void *stream, void **context) {
    uintptr_t handle = (uintptr_t)stream;
    if (handle < 0x10000) return cuCtxGetCurrent(context);
    *context = (void *)(0x1000 + handle / 0x10000 - 1);
    return 0;
}
CUresult cuEventCreate(void **event, unsigned flags) {
    ENTER("%u", flags);
    event_count = event_count % (MOST - 1) + 1;
    events[event_count] = 1, live_events++;
    *event = (void *)(uintptr_t)event_count;
    return 0;
}
CUresult cuEventRecord(void *event, void *stream) { ENTER("on %p", stream); return events[(uintptr_t)event] ? 0 : 400; }
CUresult cuEventQuery(void *event) { ENTER(" "); return !events[(uintptr_t)event] ? 400 : events_are_done ? 0 : 600; }
CUresult cuEventDestroy_v2(void *event) {
    ENTER(" ");
    if (!events[(uintptr_t)event]) return 400;
    events[(uintptr_t)event] = 0, live_events--;
    return 0;
}
CUresult cuStreamWaitEvent(void *stream, void *event, unsigned flags) { ENTER("%p %u", stream, flags); return events[(uintptr_t)event] ? 0 : 400; }
CUresult cuLaunchKernel(void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, void *stream, void **params, void **extra) {
    const char *name = kernels[(uintptr_t)kernel].name;
    (void)extra;
    ENTER("%s grid %u,%u,%u block %u,%u,%u shared %u stream %p", name, gx, gy, gz, bx, by, bz, shared, stream);
    if (!depth) return 201;
    if (on_launch) on_launch(name, libraries[kernels[(uintptr_t)kernel].library].image, gx, bx, stream, params);
    return 0;
}

typedef struct { unsigned grid[3], block[3], shared; void *stream, *attributes; unsigned count; } CUlaunchConfig;
CUresult cuLaunchKernelEx(const CUlaunchConfig *c, void *kernel, void **params, void **extra) {
    return cuLaunchKernel(kernel, c->grid[0], c->grid[1], c->grid[2], c->block[0], c->block[1], c->block[2], c->shared,
                          c->stream, params, extra);
}
