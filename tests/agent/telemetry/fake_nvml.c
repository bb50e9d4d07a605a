/* A stand-in for libnvidia-ml.so.1 that speaks as much of NVML's C interface as the agent asks for.
 *
 * What it tells is in the file that FAKE_NVML names, `name=number` a line, read anew at each call:
 *   gpus=8 lost=3 mig=0 few=1 (GPUs that tell little) gone=18 (every call's return code) hang=1
 *   pid=123 pid_gpu=2 (a process on a GPU) event=1 xid=79 xid_gpu=1 (an event, told once for each number of `event`)
 * With -DOLD it lacks what drivers of some years ago lacked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10, LOST = 15 };
typedef int Ret;
typedef unsigned long long u64;
typedef struct Device { unsigned index; unsigned is_part; } *Handle;
typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } MemoryV2;
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned pid; u64 used; unsigned instance, compute; } Process;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { Handle device; u64 type, data; unsigned instance, compute; } Event;

static struct Device devices[16];

static long wish(const char *name, long otherwise) {
    char line[128];
    size_t length = strlen(name);
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return otherwise;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, length) && line[length] == '=') otherwise = atol(line + length + 1);
    fclose(file);
    return otherwise;
}

static Ret state(Handle h) {
    struct timespec pause = {0, 10000000};
    while (wish("hang", 0)) nanosleep(&pause, NULL);
    if (wish("gone", 0)) return (Ret)wish("gone", 0);
    return h && (long)h->index == wish("lost", -1) ? LOST : OK;
}

static Ret rich(Handle h) { /* for what few GPUs tell */
    Ret ret = state(h);
    if (ret) return ret;
    return wish("few", 0) || (long)h->index == wish("mig", -1) ? UNSUPPORTED : OK;
}

Ret nvmlInitWithFlags(unsigned flags) { (void)flags; return state(NULL); }
Ret nvmlShutdown(void) { return OK; }
Ret nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)wish("gpus", 2); return state(NULL); }

Ret nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle *h) {
    if (index >= 16) return INVALID;
    devices[index].index = index;
    *h = &devices[index];
    return OK;
}

Ret nvmlDeviceGetName(Handle h, char *name, unsigned length) { (void)h; snprintf(name, length, "Pretend H200"); return OK; }
Ret nvmlDeviceGetUUID(Handle h, char *uuid, unsigned length) { snprintf(uuid, length, "GPU-%08x", h->index); return OK; }

Ret nvmlDeviceGetPciInfo_v3(Handle h, Pci *pci) {
    memset(pci, 0, sizeof *pci);
    pci->bus = 0x10 + h->index;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    return state(h);
}

Ret nvmlDeviceGetUtilizationRates(Handle h, Rates *rates) { rates->gpu = 90 + h->index; rates->memory = 40; return rich(h); }
Ret nvmlDeviceGetPowerUsage(Handle h, unsigned *milliwatts) { *milliwatts = 699900; return rich(h); }
Ret nvmlDeviceGetTemperature(Handle h, int sensor, unsigned *celsius) { (void)sensor; *celsius = 60 + h->index; return state(h); }
Ret nvmlDeviceGetClockInfo(Handle h, int kind, unsigned *mhz) { (void)kind; *mhz = 1980; return rich(h); }

Ret nvmlDeviceGetTotalEccErrors(Handle h, int kind, int counter, u64 *count) {
    (void)counter;
    *count = kind ? 1 : 7;
    return rich(h);
}

Ret nvmlDeviceGetMemoryInfo(Handle h, Memory *memory) {
    memory->total = 140ULL << 30;
    memory->used = (20ULL + h->index) << 30;
    memory->free = memory->total - memory->used;
    return state(h);
}

static Ret running(Handle h, unsigned *count, Process *found) {
    unsigned room = *count;
    Ret ret = state(h);
    if (ret) return ret;
    if (!wish("pid", 0) || wish("pid_gpu", 0) != (long)h->index) { *count = 0; return OK; }
    *count = 1;
    if (!found || room < 1) return TOO_SMALL;
    found[0] = (Process){(unsigned)wish("pid", 0), 5ULL << 30, 0, 0};
    return OK;
}

#ifdef OLD
Ret nvmlDeviceGetComputeRunningProcesses_v2(Handle h, unsigned *count, Process *found) { return running(h, count, found); }
Ret nvmlDeviceGetCurrentClocksThrottleReasons(Handle h, u64 *bits) { *bits = 0x4; return state(h); }
#else
static struct Device parts[16];
static long told_event;

Ret nvmlDeviceGetComputeRunningProcesses_v3(Handle h, unsigned *count, Process *found) { return running(h, count, found); }
Ret nvmlDeviceGetGraphicsRunningProcesses_v3(Handle h, unsigned *count, Process *found) { (void)found; *count = 0; return state(h); }
Ret nvmlDeviceGetCurrentClocksEventReasons(Handle h, u64 *bits) { *bits = 0x1 | 0x40; return state(h); }

Ret nvmlDeviceGetMemoryInfo_v2(Handle h, MemoryV2 *memory) {
    memory->total = 140ULL << 30;
    memory->reserved = 1ULL << 30;
    memory->used = h->is_part ? 2ULL << 30 : (10ULL + h->index) << 30;
    return state(h);
}

Ret nvmlDeviceGetRemappedRows(Handle h, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    *corrected = *uncorrected = *failed = 0;
    *pending = 1;
    return rich(h);
}

Ret nvmlDeviceGetMigMode(Handle h, unsigned *now, unsigned *pending) {
    *now = *pending = (long)h->index == wish("mig", -1);
    return state(h);
}

Ret nvmlDeviceGetMaxMigDeviceCount(Handle h, unsigned *count) { *count = 7; return state(h); }

Ret nvmlDeviceGetMigDeviceHandleByIndex(Handle h, unsigned index, Handle *part) {
    if (index > 1) return NOT_FOUND;
    parts[index] = (struct Device){h->index, 1};
    *part = &parts[index];
    return OK;
}

Ret nvmlEventSetCreate(void **set) { *set = &told_event; return OK; }
Ret nvmlEventSetFree(void *set) { (void)set; return OK; }
Ret nvmlDeviceGetSupportedEventTypes(Handle h, u64 *types) { *types = 0x1f; return state(h); }
Ret nvmlDeviceRegisterEvents(Handle h, u64 types, void *set) { (void)types; (void)set; return state(h); }

Ret nvmlEventSetWait_v2(void *set, Event *event, unsigned timeout_ms) {
    (void)set; (void)timeout_ms;
    if (wish("event", 0) == told_event) return TIMEOUT;
    told_event = wish("event", 0);
    *event = (Event){&devices[wish("xid_gpu", 0)], 8, (u64)wish("xid", 0), 0xffffffff, 0xffffffff};
    return OK;
}
#endif
