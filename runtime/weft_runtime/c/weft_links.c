/* Devices by name: simulators behind a socket, boards through /dev/mem or UIO. Linux. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "weft_library.h"
#include "weft_registers.h"

#define LINK_VERSION 1u
#define LINK_SECONDS 120 /* without an answer a link counts as lost */
#define REGISTER_PAGE 4096u

enum { HELLO, READ, WRITE, WAIT, ALLOCATE };

/* Both directions: little-endian, 16 bytes. An answer repeats `kind`; another one means a failure. */
typedef struct {
    uint32_t kind, offset;
    uint64_t value;
} message;

typedef struct {
    int socket, memory_file;
    volatile uint32_t *registers;
    void *memory;
    size_t memory_nbytes;
    uint64_t memory_address;
} link_context;

static void unlink_device(void *context) {
    link_context *link = context;
    if (link->socket >= 0) close(link->socket);
    if (link->memory_file >= 0) close(link->memory_file);
    if (link->registers) munmap((void *)(uintptr_t)link->registers, REGISTER_PAGE);
    if (link->memory) munmap(link->memory, link->memory_nbytes);
    free(link);
}

static link_context *new_link(void) {
    link_context *link = calloc(1, sizeof *link);
    if (!link) weft_say("there is no memory for the device; free some");
    else link->socket = link->memory_file = -1;
    return link;
}

/* Simulators --------------------------------------------------------------------------------------------------- */

static int transfer(int socket, void *data, size_t nbytes, int sending) {
    uint8_t *at = data;
    while (nbytes) {
        const ssize_t moved = sending ? send(socket, at, nbytes, MSG_NOSIGNAL) : recv(socket, at, nbytes, 0);
        if (moved < 0 && errno == EINTR) continue;
        if (moved <= 0) return -1;
        at += moved;
        nbytes -= (size_t)moved;
    }
    return 0;
}

static int ask(link_context *link, uint32_t kind, uint32_t offset, uint64_t *value) {
    message sent = {kind, offset, *value}, answer;
    if (transfer(link->socket, &sent, sizeof sent, 1) || transfer(link->socket, &answer, sizeof answer, 0)) return -1;
    *value = answer.value;
    return answer.kind == kind ? 0 : -1;
}

static int sim_read(void *context, uint32_t offset, uint32_t *value) {
    uint64_t wide = 0;
    if (ask(context, READ, offset, &wide)) return -1;
    *value = (uint32_t)wide;
    return 0;
}

static int sim_write(void *context, uint32_t offset, uint32_t value) {
    uint64_t wide = value;
    return ask(context, WRITE, offset, &wide);
}

static int sim_wait(void *context) {
    uint64_t nothing = 0;
    return ask(context, WAIT, 0, &nothing);
}

static int map(link_context *link, int file, uint64_t offset, uint64_t nbytes) {
    /* Pages of the machine at hand: the memory may begin inside of one. */
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), inside = offset % page;
    void *mapped = mmap(NULL, (size_t)(nbytes + inside), PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)(offset - inside));
    if (mapped == MAP_FAILED) return -1;
    link->memory = mapped;
    link->memory_nbytes = (size_t)(nbytes + inside);
    return 0;
}

static int open_simulator(const char *path, uint64_t nbytes, weft_device *device) {
    const struct timeval patience = {LINK_SECONDS, 0};
    struct sockaddr_un address;
    char file[sizeof address.sun_path + 16];
    uint64_t base = LINK_VERSION, place = nbytes;
    link_context *link;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path)
        return weft_say("the path of device sim:%s is too long; serve it at a shorter one", path);
    strcpy(address.sun_path, path);
    if (!(link = new_link())) return -1;
    device->context = link;
    link->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->socket < 0 || connect(link->socket, (struct sockaddr *)&address, sizeof address)) {
        weft_say("device sim:%s cannot be reached (%s); serve it with: weft link %s", path, strerror(errno), path);
        goto failed;
    }
    setsockopt(link->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    /* The answer is the address of the memory's first byte. */
    if (ask(link, HELLO, 0, &base)) {
        weft_say("device sim:%s speaks another version of the link, or serves somebody else for too long", path);
        goto failed;
    }
    if (ask(link, ALLOCATE, 0, &place)) {
        weft_say("device sim:%s has no %" PRIu64 " bytes of memory left; serve it with more", path, nbytes);
        goto failed;
    }
    snprintf(file, sizeof file, "%s.memory", path);
    link->memory_file = open(file, O_RDWR | O_CLOEXEC);
    if (link->memory_file < 0 || map(link, link->memory_file, place - base, nbytes)) {
        weft_say("memory %s of device sim:%s cannot be mapped (%s); check who may write it", file, path, strerror(errno));
        goto failed;
    }
    device->read_register = sim_read;
    device->write_register = sim_write;
    device->wait = sim_wait;
    device->memory = (uint8_t *)link->memory + (place - base) % (uint64_t)sysconf(_SC_PAGESIZE);
    device->memory_address = place;
    device->memory_bytes = nbytes;
    return 0;
failed:
    unlink_device(link);
    return -1;
}

/* Boards ------------------------------------------------------------------------------------------------------- */

static int board_read(void *context, uint32_t offset, uint32_t *value) {
    *value = ((link_context *)context)->registers[offset / 4];
    return 0;
}

static int board_write(void *context, uint32_t offset, uint32_t value) {
    ((link_context *)context)->registers[offset / 4] = value;
    return 0;
}

/* The memory is mapped uncached, where processors may refuse unaligned and wide accesses: word by word. */
static int board_write_memory(void *context, uint64_t address, const void *from, size_t nbytes) {
    link_context *link = context;
    volatile uint32_t *to = (volatile uint32_t *)((uint8_t *)link->memory + (address - link->memory_address));
    const uint8_t *bytes = from;
    uint32_t word;
    size_t k = 0;
    for (; k + 4 <= nbytes; k += 4) {
        memcpy(&word, bytes + k, 4);
        to[k / 4] = word;
    }
    for (; k < nbytes; k++) ((volatile uint8_t *)to)[k] = bytes[k];
    __sync_synchronize();
    return 0;
}

static int board_read_memory(void *context, uint64_t address, void *to, size_t nbytes) {
    link_context *link = context;
    const volatile uint32_t *from = (const volatile uint32_t *)((uint8_t *)link->memory + (address - link->memory_address));
    uint8_t *bytes = to;
    uint32_t word;
    size_t k = 0;
    __sync_synchronize();
    for (; k + 4 <= nbytes; k += 4) {
        word = from[k / 4];
        memcpy(bytes + k, &word, 4);
    }
    for (; k < nbytes; k++) bytes[k] = ((const volatile uint8_t *)from)[k];
    return 0;
}

static int map_registers(link_context *link, const char *path, uint64_t address) {
    const int file = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (file >= 0) {
        mapped = mmap(NULL, REGISTER_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)address);
        close(file);
    }
    if (mapped == MAP_FAILED)
        return weft_say("registers at %#" PRIx64 " of %s cannot be mapped (%s); check the address, and run as root", address,
                        path, strerror(errno));
    link->registers = mapped;
    return 0;
}

static int open_board(const char *registers_path, uint64_t registers, const char *memory_path, uint64_t offset,
                      uint64_t address, uint64_t nbytes, weft_device *device) {
    link_context *link;
    if (registers % REGISTER_PAGE || address % REGISTER_PAGE)
        return weft_say("addresses %#" PRIx64 " and %#" PRIx64 " are not both multiples of %u; correct them", registers,
                        address, REGISTER_PAGE);
    if (!(link = new_link())) return -1;
    if (map_registers(link, registers_path, registers)) {
        unlink_device(link);
        return -1;
    }
    link->memory_file = open(memory_path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (link->memory_file < 0 || map(link, link->memory_file, offset, nbytes)) {
        weft_say("%" PRIu64 " bytes of memory at %#" PRIx64 " of %s cannot be mapped (%s); reserve them first", nbytes,
                 offset, memory_path, strerror(errno));
        unlink_device(link);
        return -1;
    }
    link->memory_address = address;
    device->context = link;
    device->read_register = board_read;
    device->write_register = board_write;
    device->write_memory = board_write_memory;
    device->read_memory = board_read_memory;
    device->memory_address = address;
    device->memory_bytes = nbytes;
    return 0;
}

/* One more number of a list; 0 and an advanced `at`, or -1. */
static int number(const char **at, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(*at, &end, 0);
    if (end == *at || errno || **at == '-' || (*end && *end != ',')) return -1;
    *at = *end ? end + 1 : end;
    return 0;
}

/* One more word of a list. */
static int word(const char **at, char *to, size_t room) {
    const size_t length = strcspn(*at, ",");
    if (!length || length >= room || !(*at)[length]) return -1;
    memcpy(to, *at, length);
    to[length] = 0;
    *at += length + 1;
    return 0;
}

int weft_open_device(const char *name, uint64_t nbytes, weft_device *device) {
    char registers_path[256], memory_path[256];
    uint64_t registers, memory, available;
    const char *at = name;
    memset(device, 0, sizeof *device);
    device->close = unlink_device;
    if (!name) return weft_say("the device's name is null; pass one");
    if (!strncmp(name, "sim:", 4)) return open_simulator(name + 4, nbytes, device);
    if (!strncmp(name, "mem:", 4)) {
        at += 4;
        if (!number(&at, &registers) && !number(&at, &memory) && !number(&at, &available) && !*at)
            return open_board("/dev/mem", registers, "/dev/mem", memory, memory, available, device);
    } else if (!strncmp(name, "uio:", 4)) {
        at += 4;
        if (!word(&at, registers_path, sizeof registers_path) && !word(&at, memory_path, sizeof memory_path) &&
            !number(&at, &memory) && !number(&at, &available) && !*at)
            return open_board(registers_path, 0, memory_path, 0, memory, available, device);
    }
    return weft_say("device '%.200s' is none of sim:PATH, mem:REGISTERS,MEMORY,BYTES and "
                    "uio:/dev/uioN,/dev/udmabufN,MEMORY,BYTES; correct the name",
                    name);
}
