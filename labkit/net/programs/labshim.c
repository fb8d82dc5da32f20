/* labshim.c - put an unmodified program into the lab, without root.
 *
 *   LD_PRELOAD=/path/labshim.so LABNET=FILE LABADDR=203.0.113.11 LABNAME=mx.st1.test program ...
 *
 * WHAT       The loader puts this library before the C library. Each function below has the name of one of the C
 *            library's, so the program calls ours: what it says is turned from the lab's words into what is really
 *            there, and what it is told is turned back. The kernel sees loopback, the program sees an internet.
 * TELLS      addresses, ports, names, accounts, time: the lab's. LABNET names a file with one fact a line:
 *              dns 127.2.0.53:4053            the lab's nameserver, as it really listens; none: no name is known
 *              base 4000                      lab port p really is p + base, as far as that is at most 32767
 *              host 203.0.113.11              an address of the lab; really 127.0.113.11
 *              user ann /home of ann          an account of this host; its home is the rest of the line
 *              file /etc/resolv.conf /real    who opens the one gets the other
 *              clock /real/page               lab time: see struct clock_page
 *              ticks 20                       microseconds that a look at the clock takes
 *              wire /real/capture             append there what is sent and received
 *              patience 2                     seconds after which a call that nobody answers has failed; to a place
 *                                             that the page calls silent, at once where connect() would wait
 *              caller 1001                    another user of this machine who may call
 *            LABADDR, LABNAME: this host's; LABUSER: who runs the program. Unknown facts are left alone.
 * RULES      nothing leaves the machine: what is neither lab nor loopback is unreachable, and there is no IPv6.
 *            Without LABNET the library does nothing.
 * LIMITS     Linux with glibc; programs that call the kernel without the C library (Go, static ones) do not see the
 *            lab, nor do setuid ones, for which the loader ignores LD_PRELOAD; syscall() and io_uring go past it. */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE /* its inline wrappers would stand where we define the functions themselves */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nss.h>
#include <poll.h>
#include <pwd.h>
#include <resolv.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* resolv.h renames some functions for the linker; both names are defined below */
#undef res_init
#undef res_ninit
#undef res_query
#undef res_search
#undef res_querydomain
#undef res_send
#undef res_nquery
#undef res_nsearch
#undef res_nquerydomain
#undef res_nsend

/* --- the functions behind ours ------------------------------------------------------------------------------- */

/* what gcc calls instead, with a length to check, in programs built with _FORTIFY_SOURCE */
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *restrict, size_t, size_t, int, struct sockaddr *restrict, socklen_t *restrict);
int __gethostname_chk(char *, size_t, size_t);
int __res_init(void);
int __res_ninit(res_state);
/* since glibc 2.34; nobody calls them where they are missing */
int close_range(unsigned, unsigned, int);
void closefrom(int);
int execveat(int, const char *, char *const[], char *const[], int);

#define HOOKED(_)                                                                                                  \
  _(bind) _(connect) _(listen) _(accept) _(accept4) _(getsockname) _(getpeername) _(socket) _(setsockopt)          \
  _(getsockopt) _(shutdown) _(send) _(sendto) _(sendmsg) _(sendmmsg) _(recv) _(recvfrom) _(recvmsg) _(recvmmsg)    \
  _(socketpair)                                                                                                   \
  _(read) _(__read_chk) _(readv) _(write) _(writev) _(sendfile) _(sendfile64)                                      \
  _(close) _(close_range) _(closefrom) _(dup) _(dup2) _(dup3) _(fdopen)                                            \
  _(poll) _(__poll_chk) _(ppoll) _(select) _(pselect) _(epoll_wait) _(epoll_pwait)                                 \
  _(getifaddrs) _(freeifaddrs) _(ioctl) _(uname) _(gethostname)                                                    \
  _(getaddrinfo) _(getnameinfo) _(gethostbyname) _(gethostbyname2) _(gethostbyname_r) _(gethostbyname2_r)          \
  _(gethostbyaddr) _(gethostbyaddr_r) _(__res_init) _(__res_ninit) _(getaddrinfo_a) _(gethostid)                   \
  _(rcmd) _(rcmd_af) _(rexec) _(rexec_af) _(rresvport) _(rresvport_af)                                             \
  _(ruserok) _(ruserok_af) _(iruserok) _(iruserok_af)                                                              \
  _(getpwnam) _(getpwnam_r) _(getpwuid) _(getpwuid_r) _(getlogin) _(getlogin_r)                                    \
  _(fopen) _(fopen64) _(open) _(open64) _(openat) _(openat64) _(__open_2) _(__open64_2) _(__openat_2)              \
  _(__openat64_2) _(execve) _(execveat) _(execvpe) _(fexecve) _(posix_spawn) _(posix_spawnp) _(system) _(popen)    \
  _(clock_gettime) _(setitimer)

static struct {
#define MEMBER(name) __typeof__(&name) name;
  HOOKED(MEMBER)
} functions;

static bool is_loaded;
static void load(void);

static void expect_load(void)
{ /* another library's constructor may call us before our own ran */
  if (__builtin_expect(!is_loaded, 0)) load();
}
#define REAL (expect_load(), &functions)

static int fail(int problem)
{
  errno = problem;
  return -1;
}

/* --- what LABNET says ---------------------------------------------------------------------------------------- */

struct account { const char *name, *home; };
struct redirect { const char *path, *real; };
enum { N_SILENT = 500 };
/* What changes while programs run, see labnet.py. Lab time for programs whose time runs on; and for those with ticks:
 * standing_ns + looks * ticks. From octet 64 on the places that do not answer (port 0: the whole host; with is_caller
 * the host whose calls to that port of others get no answer), and a real place at which nobody does. */
struct clock_page {
  int64_t lab_ns;
  uint64_t looks;
  int64_t standing_ns, unused[5];
  in_addr_t nowhere;
  uint16_t nowhere_port, n_silent;
  struct { in_addr_t address; uint16_t port, is_caller; } silent[N_SILENT];
};

static bool in_lab; /* LABNET was given; else everything below hands on what it gets */
static struct {
  struct sockaddr_in dns;
  unsigned base;
  in_addr_t own, *hosts; /* lab addresses, in network order */
  struct account *accounts;
  struct redirect *redirects;
  uid_t *callers;
  size_t n_hosts, n_accounts, n_redirects, n_callers;
  volatile struct clock_page *clock;
  int64_t ticks; /* nanoseconds a look */
  int64_t started, up; /* lab time and the kernel's monotonic clock when this process started */
  const char *wire, *name, *user;
  int patience; /* milliseconds */
} lab;

enum { N_KEPT = 5 };
static const char *const kept_names[N_KEPT] = {"LD_PRELOAD", "LABNET", "LABADDR", "LABNAME", "LABUSER"};
static char *kept[N_KEPT]; /* as NAME=value; NULL: was not given */
static const char *own_path; /* of this library */

static int64_t kernel_clock(clockid_t which)
{
  struct timespec t;
  REAL->clock_gettime(which, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Memory for good. Not from malloc: jemalloc (dig has it) opens a file when it starts, so comes to our open(), which
 * loads, and would come back to malloc. */
static void *room(size_t size)
{
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  return memory;
}

static char *whole_file(const char *path)
{
  struct stat about;
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  char *text = fstat(fd, &about) ? NULL : room(about.st_size + 1);
  if (text && syscall(SYS_read, fd, text, about.st_size) < 0) text = NULL;
  syscall(SYS_close, fd);
  return text;
}

static int64_t lab_time(bool is_look);

static void map_clock(const char *path)
{
  int fd = lab.ticks ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) { /* who may not write there cannot have his looks counted: his time runs on */
    lab.ticks = 0;
    fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  }
  if (fd < 0) return;
  int access = lab.ticks ? PROT_READ | PROT_WRITE : PROT_READ;
  void *page = mmap(NULL, sizeof *lab.clock, access, MAP_SHARED, fd, 0);
  if (page != MAP_FAILED) lab.clock = page;
  syscall(SYS_close, fd);
}

static void read_labnet(char *text)
{ /* the text is kept: names and paths stay where they are in it */
  const char *clock_path = NULL;
  size_t most = 2; /* LABADDR may come on top */
  for (const char *c = text; *c; c++) most += *c == '\n';
  lab.hosts = room(most * sizeof *lab.hosts);
  lab.accounts = room(most * sizeof *lab.accounts);
  lab.redirects = room(most * sizeof *lab.redirects);
  lab.callers = room(most * sizeof *lab.callers);
  for (char *line, *rest = text; (line = strsep(&rest, "\n"));) {
    char *value = line, *fact = strsep(&value, " ");
    if (!value) continue;
    if (!strcmp(fact, "base")) lab.base = atoi(value);
    else if (!strcmp(fact, "ticks")) lab.ticks = atoll(value) * 1000;
    else if (!strcmp(fact, "patience")) lab.patience = atof(value) * 1000;
    else if (!strcmp(fact, "wire")) lab.wire = value;
    else if (!strcmp(fact, "clock")) clock_path = value;
    else if (!strcmp(fact, "host")) lab.hosts[lab.n_hosts++] = inet_addr(value);
    else if (!strcmp(fact, "caller")) lab.callers[lab.n_callers++] = atoi(value);
    else if (!strcmp(fact, "user")) {
      const char *name = strsep(&value, " ");
      lab.accounts[lab.n_accounts++] = (struct account) {name, value ? value : "/"};
    } else if (!strcmp(fact, "file")) {
      const char *path = strsep(&value, " ");
      if (value) lab.redirects[lab.n_redirects++] = (struct redirect) {path, value};
    } else if (!strcmp(fact, "dns")) {
      const char *address = strsep(&value, ":");
      lab.dns = (struct sockaddr_in) {.sin_family = AF_INET, .sin_addr = {inet_addr(address)}};
      lab.dns.sin_port = htons(value ? atoi(value) : 53);
    }
  }
  if (clock_path) map_clock(clock_path);
}

static const char *value_of(const char *variable) { return strchr(variable, '=') + 1; }

static void load(void)
{
  int problem = errno;
#define FIND(name) functions.name = (__typeof__(&name)) dlsym(RTLD_NEXT, #name);
  HOOKED(FIND)
  is_loaded = true;
  const char *path = getenv("LABNET"), *own = getenv("LABADDR");
  if (path) {
    in_lab = true;
    char *text = whole_file(path); /* if the lab is gone: a host without a network */
    lab.dns = (struct sockaddr_in) {.sin_family = AF_INET, .sin_port = htons(1),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (text) read_labnet(text);
    if (text && own) lab.hosts[lab.n_hosts++] = lab.own = inet_addr(own);
    lab.up = kernel_clock(CLOCK_MONOTONIC);
    if (lab.clock) lab.started = lab_time(false);
    Dl_info about;
    own_path = dladdr((void *) load, &about) ? about.dli_fname : "";
    for (int i = 0; i < N_KEPT; i++) {
      const char *value = getenv(kept_names[i]);
      if (!value) continue;
      kept[i] = room(strlen(kept_names[i]) + strlen(value) + 2);
      sprintf(kept[i], "%s=%s", kept_names[i], value);
    }
    lab.name = kept[3] && *value_of(kept[3]) ? value_of(kept[3]) : NULL;
    lab.user = kept[4] && *value_of(kept[4]) ? value_of(kept[4]) : NULL;
  }
  errno = problem;
}

/* --- addresses and ports ------------------------------------------------------------------------------------- */

static const unsigned LAST_PORT = 32767; /* beyond it are the ports that Linux gives to callers */

static bool is_inet(const struct sockaddr *a, socklen_t n)
{
  return in_lab && a && n >= sizeof(struct sockaddr_in) && a->sa_family == AF_INET;
}
/* The kernel takes an address without a family for IPv4, where it does not mean "no address any more" (connect). */
static int socket_option(int fd, int option);
static bool is_without_family(int fd, const struct sockaddr *a, socklen_t n)
{
  return in_lab && a && n >= sizeof(struct sockaddr_in) && a->sa_family == AF_UNSPEC
      && socket_option(fd, SO_DOMAIN) == AF_INET;
}
static bool is_inet_addressee(int fd, const struct sockaddr *a, socklen_t n)
{ /* streams have no addressee: the kernel does not look at it */
  return is_inet(a, n) || (is_without_family(fd, a, n) && socket_option(fd, SO_TYPE) == SOCK_DGRAM);
}
static bool is_inet_place(int fd, const struct sockaddr *a, socklen_t n)
{ /* any other address without a family is refused by the kernel */
  return is_inet(a, n)
      || (is_without_family(fd, a, n) && ((struct sockaddr_in *) a)->sin_addr.s_addr == INADDR_ANY);
}
static bool is_loopback(in_addr_t a) { return ntohl(a) >> 24 == 127; }
static in_addr_t real_address(in_addr_t a) { return htonl((ntohl(a) & 0x00ffffff) | 127u << 24); }

static bool is_host(in_addr_t a)
{
  for (size_t i = 0; i < lab.n_hosts; i++)
    if (lab.hosts[i] == a) return true;
  return false;
}
static in_addr_t lab_address(in_addr_t real)
{ /* 0: no host's */
  if (lab.own && real == real_address(lab.own)) return lab.own;
  for (size_t i = 0; i < lab.n_hosts; i++)
    if (real_address(lab.hosts[i]) == real) return lab.hosts[i];
  return 0;
}
static in_port_t real_port(in_port_t port)
{
  unsigned p = ntohs(port);
  return p && p + lab.base <= LAST_PORT ? htons(p + lab.base) : port;
}
static in_port_t lab_port(in_port_t port)
{
  unsigned p = ntohs(port);
  return p > lab.base && p <= LAST_PORT ? htons(p - lab.base) : port;
}

/* Where a call to a lab address really goes; else an errno. 127/8 is the host itself, as on any machine. */
static int find_destination(const struct sockaddr *a, struct sockaddr_in *real)
{
  memcpy(real, a, sizeof *real);
  real->sin_family = AF_INET;
  in_addr_t to = real->sin_addr.s_addr;
  if (!lab.n_hosts) return ENETDOWN;
  if (to == INADDR_ANY || is_loopback(to)) to = lab.own;
  if (!to || !is_host(to)) return ENETUNREACH;
  real->sin_addr.s_addr = real_address(to);
  real->sin_port = real_port(real->sin_port);
  return 0;
}

static bool is_ourselves(in_addr_t to) { return to == lab.own || is_loopback(to) || to == INADDR_ANY; }

/* Whoever calls a silent place is sent where the kernel drops what comes: he waits, as behind a firewall. */
static bool find_silence(const struct sockaddr *a, struct sockaddr_in *real)
{
  bool is_silent = false;
  const struct sockaddr_in *to = (const struct sockaddr_in *) a;
  for (unsigned i = 0; lab.clock && i < lab.clock->n_silent && i < N_SILENT; i++) {
    uint16_t port = lab.clock->silent[i].port;
    bool is_caller = lab.clock->silent[i].is_caller;
    if (lab.clock->silent[i].address != (is_caller ? lab.own : to->sin_addr.s_addr)) continue;
    if ((port && port != to->sin_port) || (is_caller && is_ourselves(to->sin_addr.s_addr))) continue;
    real->sin_addr.s_addr = lab.clock->nowhere;
    real->sin_port = lab.clock->nowhere_port;
    is_silent = true;
  }
  return is_silent;
}

/* Where a lab host may listen: at its own address, and nowhere else. */
static int find_own_place(const struct sockaddr *a, struct sockaddr_in *real)
{
  memcpy(real, a, sizeof *real);
  real->sin_family = AF_INET;
  in_addr_t at = real->sin_addr.s_addr;
  if (!lab.own || (at != INADDR_ANY && !is_loopback(at) && at != lab.own)) return EADDRNOTAVAIL;
  real->sin_addr.s_addr = real_address(lab.own);
  real->sin_port = real_port(real->sin_port);
  return 0;
}

static void tell_lab_place(struct sockaddr *a, socklen_t n)
{ /* what the program is told */
  struct sockaddr_in *in = (struct sockaddr_in *) a;
  if (!is_inet(a, n)) return;
  in_addr_t host = lab_address(in->sin_addr.s_addr);
  if (!host) return;
  in->sin_addr.s_addr = host;
  in->sin_port = lab_port(in->sin_port);
}

static int socket_option(int fd, int option)
{
  int value = -1;
  socklen_t n = sizeof value;
  return REAL->getsockopt(fd, SOL_SOCKET, option, &value, &n) ? -1 : value;
}

/* A machine calls from its own address; the kernel would choose 127.0.0.1. And what comes from a loopback address the
 * kernel lets out by no other interface. */
static void call_from_own(int fd)
{
  struct sockaddr_in here;
  socklen_t n = sizeof here;
  int problem = errno;
  if (lab.own && !REAL->getsockname(fd, (struct sockaddr *) &here, &n) && here.sin_family == AF_INET
      && here.sin_addr.s_addr == INADDR_ANY) {
    here.sin_addr.s_addr = real_address(lab.own);
    /* TCP need not choose the port yet: then as many calls are possible as there are ports for each destination */
    if (socket_option(fd, SO_TYPE) == SOCK_STREAM)
      REAL->setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int) {1}, sizeof(int));
    REAL->bind(fd, (struct sockaddr *) &here, sizeof here);
  }
  errno = problem;
}

/* --- the wire capture ---------------------------------------------------------------------------------------- */

/* What a program sends to and receives from a lab address is appended to a file: one record, one write, so that the
 * records of many programs do not mix. labkit/net/wire.py reads them. The file is opened anew for each: some programs
 * (Exim) close descriptors they do not know. */
struct record {
  char magic[4];
  uint32_t length;
  char kind; /* 's' sent, 'r' received, 'c' called, 'x' hung up */
  uint8_t protocol;
  uint16_t own_port, peer_port, zero;
  in_addr_t own, peer;
  int64_t real_ns, lab_ns;
} __attribute__((packed));

enum { MOST_OF_A_RECORD = 60000, MOST_OF_A_CAPTURE = 64 << 20 };

/* The descriptors we know. What a program did before exec() is asked of the kernel again at the first use. */
struct end {
  enum { UNKNOWN, OTHER, STREAM, DATAGRAM } kind;
  bool has_called, has_hung_up, is_homeless; /* homeless: a datagram socket that may be unbound */
  in_port_t own_port, peer_port;
  in_addr_t own, peer; /* peer 0: each datagram has its own */
  pid_t user; /* the process that sent or received something */
  int64_t called_real, called_lab;
};
enum { N_ENDS = 4096 };
static struct end ends[N_ENDS];

static void forget(int fd)
{
  if (fd >= 0 && fd < N_ENDS && ends[fd].kind | ends[fd].has_called | ends[fd].is_homeless) ends[fd] = (struct end) {0};
}

/* The kernel binds an unbound socket to every address of the machine as soon as it is to send, also where that
 * fails. */
static void settle(int fd)
{
  if (fd < 0 || fd >= N_ENDS || !ends[fd].is_homeless) return;
  call_from_own(fd);
  ends[fd].is_homeless = false;
}

static int64_t now_for_record(void) { return lab.clock ? lab_time(false) : kernel_clock(CLOCK_REALTIME); }

static void append(struct end *end, struct record head, const struct iovec *data, size_t size)
{
  int fd = syscall(SYS_openat, AT_FDCWD, lab.wire, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  bool is_full = syscall(SYS_lseek, fd, 0, SEEK_END) > MOST_OF_A_CAPTURE;
  memcpy(head.magic, "LW1\n", 4);
  head.protocol = end->kind == STREAM ? IPPROTO_TCP : IPPROTO_UDP;
  head.own_port = ntohs(end->own_port), head.peer_port = ntohs(end->peer_port);
  head.own = end->own, head.peer = end->peer;
  size_t from = 0; /* in *data */
  do { /* a record: its head, and as much of the data as fits */
    struct iovec parts[32] = {{&head, sizeof head}};
    int n = 1;
    for (head.length = 0; size && n < 32 && head.length < MOST_OF_A_RECORD;) {
      size_t piece = data->iov_len - from;
      if (piece > size) piece = size;
      if (piece > MOST_OF_A_RECORD - head.length) piece = MOST_OF_A_RECORD - head.length;
      if (piece) parts[n++] = (struct iovec) {(char *) data->iov_base + from, piece};
      head.length += piece, size -= piece, from += piece;
      if (from == data->iov_len) data++, from = 0;
    }
    if (!is_full) syscall(SYS_writev, fd, parts, n);
  } while (size);
  syscall(SYS_close, fd);
}

static void note(struct end *end, char kind, const struct iovec *data, size_t size, int64_t when)
{
  int problem = errno;
  end->user = getpid();
  append(end, (struct record) {.kind = kind, .real_ns = when, .lab_ns = now_for_record()}, data, size);
  errno = problem;
}

static void learn(int fd, struct end *end)
{
  struct sockaddr_in own, peer;
  socklen_t n = sizeof own, m = sizeof peer;
  end->kind = OTHER;
  if (REAL->getsockname(fd, (struct sockaddr *) &own, &n)) {
    if (errno == EBADF) end->kind = UNKNOWN; /* whatever gets this number next */
    return;
  }
  if (own.sin_family != AF_INET) return;
  int type = socket_option(fd, SO_TYPE);
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return;
  bool is_connected = !REAL->getpeername(fd, (struct sockaddr *) &peer, &m);
  if (is_connected ? !lab_address(peer.sin_addr.s_addr) : type == SOCK_STREAM) {
    end->kind = is_connected ? OTHER : UNKNOWN;
    return;
  }
  end->own = lab_address(own.sin_addr.s_addr), end->own_port = lab_port(own.sin_port);
  end->peer = is_connected ? lab_address(peer.sin_addr.s_addr) : 0;
  end->peer_port = is_connected ? lab_port(peer.sin_port) : 0;
  end->kind = type == SOCK_STREAM ? STREAM : DATAGRAM;
  if (!end->has_called || type != SOCK_STREAM) return;
  end->user = getpid();
  append(end, (struct record) {.kind = 'c', .real_ns = end->called_real, .lab_ns = end->called_lab}, NULL, 0);
}

static struct end *recorded(int fd)
{ /* NULL: not of the lab */
  expect_load();
  if (!lab.wire || fd < 0 || fd >= N_ENDS) return NULL;
  if (ends[fd].kind == UNKNOWN) {
    int problem = errno;
    learn(fd, &ends[fd]);
    errno = problem;
  }
  return ends[fd].kind > OTHER ? &ends[fd] : NULL;
}

/* A sending is stamped before it is done: the answer in another process may be quicker than the note. */
static int64_t stamp(const struct end *end) { return end ? kernel_clock(CLOCK_REALTIME) : 0; }

/* `place`: where a datagram really went to or came from, if it is not where the socket is connected to. */
static void note_data(struct end *end, char kind, const struct sockaddr_in *place, const struct iovec *data,
    ssize_t size, int64_t when)
{
  if (!end || size <= 0) return;
  if (end->kind == STREAM || !place || place->sin_family != AF_INET) {
    if (end->peer) note(end, kind, data, size, when ? when : kernel_clock(CLOCK_REALTIME));
    return;
  }
  struct end one = *end;
  one.peer = lab_address(place->sin_addr.s_addr), one.peer_port = lab_port(place->sin_port);
  if (one.peer) note(&one, kind, data, size, when ? when : kernel_clock(CLOCK_REALTIME));
}
#define ONE_PIECE(data, size) &(struct iovec) {(void *) (data), size}

static void note_call(int fd, int64_t real, int64_t at)
{ /* a call that is still under way is noted when the socket is used */
  if (!lab.wire || fd < 0 || fd >= N_ENDS) return;
  if (ends[fd].has_called && ends[fd].kind != DATAGRAM) return; /* some ask again whether they are connected */
  ends[fd] = (struct end) {.has_called = true, .called_real = real, .called_lab = at};
  recorded(fd);
}

static void note_end(int fd)
{ /* if we used it: a daemon also closes what its child talks to */
  if (fd < 0 || fd >= N_ENDS || ends[fd].kind != STREAM || ends[fd].has_hung_up
      || ends[fd].user != getpid()) return;
  note(&ends[fd], 'x', NULL, 0, kernel_clock(CLOCK_REALTIME));
  ends[fd].has_hung_up = true;
}

ssize_t write(int fd, const void *data, size_t size)
{
  settle(fd);
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  ssize_t sent = REAL->write(fd, data, size);
  note_data(end, 's', NULL, ONE_PIECE(data, size), sent, when);
  return sent;
}
ssize_t writev(int fd, const struct iovec *data, int n)
{
  settle(fd);
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  ssize_t sent = REAL->writev(fd, data, n);
  note_data(end, 's', NULL, data, sent, when);
  return sent;
}
ssize_t send(int fd, const void *data, size_t size, int flags)
{
  settle(fd);
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  ssize_t sent = REAL->send(fd, data, size, flags);
  note_data(end, 's', NULL, ONE_PIECE(data, size), sent, when);
  return sent;
}

static void note_file(struct end *end, int from, off_t at, ssize_t size, int64_t when)
{ /* the kernel sent it from a file: read it once more */
  char text[16384];
  for (ssize_t got; end && size > 0 && (got = pread(from, text, (size_t) size < sizeof text ? (size_t) size
      : sizeof text, at)) > 0;) {
    note_data(end, 's', NULL, ONE_PIECE(text, got), got, when);
    at += got, size -= got;
  }
}
ssize_t sendfile(int fd, int from, off_t *offset, size_t size)
{
  settle(fd);
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  off_t at = !end ? 0 : offset ? *offset : lseek(from, 0, SEEK_CUR);
  ssize_t sent = REAL->sendfile(fd, from, offset, size);
  note_file(end, from, at, sent, when);
  return sent;
}
ssize_t sendfile64(int fd, int from, off64_t *offset, size_t size)
{
  settle(fd);
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  off64_t at = !end ? 0 : offset ? *offset : lseek64(from, 0, SEEK_CUR);
  ssize_t sent = REAL->sendfile64(fd, from, offset, size);
  note_file(end, from, at, sent, when);
  return sent;
}

ssize_t read(int fd, void *data, size_t size)
{
  ssize_t got = REAL->read(fd, data, size);
  note_data(recorded(fd), 'r', NULL, ONE_PIECE(data, size), got, 0);
  return got;
}
ssize_t __read_chk(int fd, void *data, size_t size, size_t room)
{
  ssize_t got = REAL->__read_chk(fd, data, size, room);
  note_data(recorded(fd), 'r', NULL, ONE_PIECE(data, size), got, 0);
  return got;
}
ssize_t readv(int fd, const struct iovec *data, int n)
{
  ssize_t got = REAL->readv(fd, data, n);
  note_data(recorded(fd), 'r', NULL, data, got, 0);
  return got;
}

int shutdown(int fd, int how)
{
  if (how != SHUT_RD) note_end(fd);
  return REAL->shutdown(fd, how);
}
int close(int fd)
{
  note_end(fd);
  forget(fd);
  return REAL->close(fd);
}
int close_range(unsigned first, unsigned last, int flags)
{
  for (unsigned fd = first; fd <= last && fd < N_ENDS; fd++) forget(fd);
  return REAL->close_range(first, last, flags);
}
void closefrom(int first)
{
  for (int fd = first > 0 ? first : 0; fd < N_ENDS; fd++) forget(fd);
  REAL->closefrom(first);
}
static int new(int fd)
{ /* whatever this number was before */
  forget(fd);
  return fd;
}
int dup(int fd) { return new(REAL->dup(fd)); }
int dup2(int from, int to) { return from == to ? REAL->dup2(from, to) : new(REAL->dup2(from, to)); }
int dup3(int from, int to, int flags) { return new(REAL->dup3(from, to, flags)); }

/* stdio writes by a call inside the C library that cannot be hooked; but a FILE can have functions of ours below it.
 * Exim's server speaks through such a FILE. */
static ssize_t read_cookie(void *fd, char *data, size_t size) { return read((intptr_t) fd, data, size); }
static ssize_t write_cookie(void *fd, const char *data, size_t size)
{
  size_t done = 0;
  for (ssize_t sent; done < size && (sent = write((intptr_t) fd, data + done, size - done)) >= 0;) done += sent;
  return done;
}
static int seek_cookie(void *fd, off64_t *offset, int whence)
{
  (void) fd, (void) offset, (void) whence;
  return fail(ESPIPE);
}
static int close_cookie(void *fd) { return close((intptr_t) fd); }

FILE *fdopen(int fd, const char *mode)
{
  struct end *end = recorded(fd);
  if (!end || end->kind != STREAM) return REAL->fdopen(fd, mode);
  cookie_io_functions_t ours = {read_cookie, write_cookie, seek_cookie, close_cookie};
  FILE *file = fopencookie((void *) (intptr_t) fd, mode, ours);
  if (file) file->_fileno = fd; /* for fileno() */
  return file;
}

/* --- sockets ------------------------------------------------------------------------------------------------- */

/* Only what goes by the functions below: no IPv6, nor packets (AF_PACKET, also as SOCK_PACKET), nor raw ones, nor a
 * virtual machine's host (AF_VSOCK), nor SCTP with its own way to call. 0, or an errno. */
static int find_refusal(int domain, int kind, int protocol)
{
  if (domain == AF_UNIX || domain == AF_NETLINK) return 0;
  if (domain != AF_INET) return EAFNOSUPPORT;
  if (kind == SOCK_RAW) return EPERM;
  if (kind != SOCK_STREAM && kind != SOCK_DGRAM) return ESOCKTNOSUPPORT;
  bool is_usual = kind == SOCK_STREAM ? protocol == IPPROTO_TCP : protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP;
  return is_usual || protocol == IPPROTO_IP ? 0 : EPROTONOSUPPORT;
}

int socket(int domain, int type, int protocol)
{
  expect_load();
  int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), problem = in_lab ? find_refusal(domain, kind, protocol) : 0;
  if (problem) return fail(problem);
  int fd = new(REAL->socket(domain, type, protocol));
  if (in_lab && domain == AF_INET && kind == SOCK_DGRAM && fd >= 0 && fd < N_ENDS) ends[fd].is_homeless = true;
  return fd;
}
int socketpair(int domain, int type, int protocol, int pair[2])
{
  expect_load();
  if (in_lab && domain != AF_UNIX) return fail(domain == AF_INET ? EOPNOTSUPP : EAFNOSUPPORT);
  int rc = REAL->socketpair(domain, type, protocol, pair);
  if (rc == 0) new(pair[0]), new(pair[1]);
  return rc;
}

int bind(int fd, const struct sockaddr *a, socklen_t n)
{
  struct sockaddr_in real;
  if (!is_inet_place(fd, a, n)) return REAL->bind(fd, a, n);
  int problem = find_own_place(a, &real);
  if (problem) return fail(problem);
  int rc = REAL->bind(fd, (struct sockaddr *) &real, sizeof real);
  if (rc == 0) forget(fd);
  return rc;
}

int listen(int fd, int backlog)
{
  if (in_lab && !lab.own && socket_option(fd, SO_DOMAIN) == AF_INET) return fail(ENETDOWN);
  if (in_lab) call_from_own(fd); /* who did not bind would listen at every address of the machine */
  return REAL->listen(fd, backlog);
}

/* Who calls a silent place waits for minutes in the kernel. A lab has less time: the socket gives up by itself, also
 * where the program does not wait in connect(); a second after the call at the soonest. Later on the option would end
 * slow connections, so it is taken off. */
static void set_patience(int fd, int milliseconds)
{
  int problem = errno;
  if (lab.patience) REAL->setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
  errno = problem;
}
static bool is_connected(int fd)
{
  struct sockaddr_in peer;
  socklen_t n = sizeof peer;
  int problem = errno;
  bool is = !REAL->getpeername(fd, (struct sockaddr *) &peer, &n);
  errno = problem;
  return is;
}

/* Does connect() wait here until the call is answered? */
static bool waits(int fd)
{
  return socket_option(fd, SO_TYPE) == SOCK_STREAM && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
  struct sockaddr_in real;
  if (a && n >= sizeof a->sa_family && a->sa_family != AF_UNSPEC) settle(fd);
  if (!is_inet(a, n)) return REAL->connect(fd, a, n);
  int problem = find_destination(a, &real);
  if (problem) return fail(problem);
  bool is_silent = find_silence(a, &real);
  if (is_silent && lab.patience && waits(fd)) return fail(ETIMEDOUT); /* no lab time would pass if he waited */
  call_from_own(fd);
  set_patience(fd, lab.patience);
  int64_t when = lab.wire ? kernel_clock(CLOCK_REALTIME) : 0, at = lab.wire ? now_for_record() : 0;
  int rc = REAL->connect(fd, (struct sockaddr *) &real, sizeof real);
  if (lab.patience && is_connected(fd)) set_patience(fd, 0);
  if (rc == 0 || errno == EINPROGRESS || errno == EINTR) note_call(fd, when, at);
  return rc;
}

#if __GLIBC_PREREQ(2, 34) /* an older C library's resolver comes by here, with real addresses */
int __connect(int fd, const struct sockaddr *a, socklen_t n) { return connect(fd, a, n); }
#endif

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict n)
{ /* a program that did not wait in connect() asks in this way how the call went */
  int rc = REAL->getsockopt(fd, level, option, value, n);
  if (lab.patience && level == SOL_SOCKET && option == SO_ERROR && is_connected(fd)) set_patience(fd, 0);
  return rc;
}

int getsockname(int fd, struct sockaddr *restrict a, socklen_t *restrict n)
{
  int rc = REAL->getsockname(fd, a, n);
  if (rc == 0) tell_lab_place(a, *n);
  return rc;
}
int getpeername(int fd, struct sockaddr *restrict a, socklen_t *restrict n)
{
  int rc = REAL->getpeername(fd, a, n);
  if (rc == 0) tell_lab_place(a, *n);
  return rc;
}

static _Thread_local bool is_holding_back;

/* Options by which the machine itself speaks to its neighbours, or what is sent takes another way. 0, or an errno. */
static int find_forbidden(int level, int option)
{
  if (level == SOL_SOCKET) return option == SO_BINDTODEVICE || option == SO_BINDTOIFINDEX ? EPERM : 0;
  if (level != IPPROTO_IP) return 0;
  switch (option) {
    case IP_ADD_MEMBERSHIP: case IP_ADD_SOURCE_MEMBERSHIP: case MCAST_JOIN_GROUP: case MCAST_JOIN_SOURCE_GROUP:
      return ENODEV; /* as where no interface can do multicast */
    case IP_OPTIONS: case IP_UNICAST_IF: /* a source route; an interface */
      return EPERM;
    default:
      return 0;
  }
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t n)
{
  if (in_lab && level == IPPROTO_TCP) {
    /* a kernel that cannot do it: the program calls in the ordinary way then */
    if (option == TCP_FASTOPEN_CONNECT) return fail(ENOPROTOOPT);
    /* Exim holds back its answer to QUIT, to send it in one packet with the end: it corks the socket and waits for
     * 0.2 s of real time whether the client hangs up by himself. In a lab that is most of what a session takes. */
    if (option == TCP_CORK) {
      is_holding_back = *(const int *) value != 0;
      return 0;
    }
  }
  int problem = in_lab && n ? find_forbidden(level, option) : 0;
  return problem ? fail(problem) : REAL->setsockopt(fd, level, option, value, n);
}

/* Where data with an address on it goes: 0 and the real place, else an errno. */
static int find_addressee(int fd, int flags, const struct sockaddr *a, struct sockaddr_in *real)
{
  if (flags & MSG_FASTOPEN) return EOPNOTSUPP; /* a call without connect(); as a kernel where it is switched off */
  int problem = find_destination(a, real);
  if (!problem) call_from_own(fd);
  return problem;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *a, socklen_t n)
{
  settle(fd);
  struct sockaddr_in real, *to = NULL;
  if (is_inet_addressee(fd, a, n)) {
    int problem = find_addressee(fd, flags, a, &real);
    if (problem) return fail(problem);
    a = (struct sockaddr *) (to = &real), n = sizeof real;
  }
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  ssize_t sent = REAL->sendto(fd, data, size, flags, a, n);
  note_data(end, 's', to, ONE_PIECE(data, size), sent, when);
  return sent;
}

/* A datagram may bring its own source, interface and route; of the lab it has the host's address, and no more. */
static int keep_inside(struct msghdr *message)
{
  for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
    if (one->cmsg_level != IPPROTO_IP) continue;
    if (one->cmsg_type == IP_RETOPTS) return EPERM;
    if (one->cmsg_type != IP_PKTINFO) continue;
    size_t rest = (char *) message->msg_control + message->msg_controllen - (char *) one;
    if (one->cmsg_len != CMSG_LEN(sizeof(struct in_pktinfo)) || one->cmsg_len > rest) return EINVAL;
    *(struct in_pktinfo *) CMSG_DATA(one) = (struct in_pktinfo) {.ipi_spec_dst = {real_address(lab.own)}};
  }
  return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
  settle(fd);
  struct sockaddr_in real, *to = NULL;
  struct msghdr readdressed = *message;
  if (in_lab && message->msg_control && message->msg_controllen) {
    if (message->msg_controllen > MOST_OF_A_RECORD) return fail(ENOBUFS);
    readdressed.msg_control = memcpy(alloca(message->msg_controllen), message->msg_control, message->msg_controllen);
    int problem = keep_inside(&readdressed);
    if (problem) return fail(problem);
  }
  if (is_inet_addressee(fd, message->msg_name, message->msg_namelen)) {
    int problem = find_addressee(fd, flags, message->msg_name, &real);
    if (problem) return fail(problem);
    readdressed.msg_name = to = &real;
    readdressed.msg_namelen = sizeof real;
  }
  struct end *end = recorded(fd);
  int64_t when = stamp(end);
  ssize_t sent = REAL->sendmsg(fd, &readdressed, flags);
  note_data(end, 's', to, message->msg_iov, sent, when);
  return sent;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{ /* one by one: each may have an address of its own */
  if (!in_lab) return REAL->sendmmsg(fd, messages, count, flags);
  for (unsigned i = 0; i < count; i++) {
    ssize_t sent = sendmsg(fd, &messages[i].msg_hdr, flags);
    if (sent < 0) return i ? (int) i : -1;
    messages[i].msg_len = sent;
  }
  return count;
}

static const int NOT_FOR_THE_RECORD = MSG_PEEK | MSG_ERRQUEUE | MSG_TRUNC;

/* Where a datagram came from is needed for the record also if the program does not ask. */
static ssize_t received_from(int fd, struct msghdr *message, int flags, ssize_t (*receive)(int,
    struct msghdr *, int))
{
  struct sockaddr_storage from = {0};
  void *name = message->msg_name;
  socklen_t room = message->msg_namelen;
  message->msg_name = &from, message->msg_namelen = sizeof from;
  ssize_t got = receive(fd, message, flags);
  socklen_t n = message->msg_namelen;
  message->msg_name = name;
  if (got < 0) return message->msg_namelen = room, got;
  if (!(flags & NOT_FOR_THE_RECORD)) note_data(recorded(fd), 'r', (struct sockaddr_in *) &from,
      message->msg_iov, got, 0);
  tell_lab_place((struct sockaddr *) &from, n);
  if (name) memcpy(name, &from, n < room ? n : room);
  message->msg_namelen = name ? n : 0;
  return got;
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
  return in_lab ? received_from(fd, message, flags, REAL->recvmsg) : REAL->recvmsg(fd, message, flags);
}
ssize_t recvfrom(int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict a,
    socklen_t *restrict n)
{
  if (!in_lab) return REAL->recvfrom(fd, data, size, flags, a, n);
  struct msghdr message = {.msg_name = a, .msg_namelen = a && n ? *n : 0, .msg_iov = ONE_PIECE(data, size),
      .msg_iovlen = 1};
  ssize_t got = recvmsg(fd, &message, flags);
  if (got >= 0 && a && n) *n = message.msg_namelen;
  return got;
}
ssize_t __recvfrom_chk(int fd, void *restrict data, size_t size, size_t room, int flags,
    struct sockaddr *restrict a, socklen_t *restrict n)
{
  if (size > room) abort(); /* as glibc does: the buffer is smaller than the program says */
  return recvfrom(fd, data, size, flags, a, n);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
  return in_lab ? recvfrom(fd, data, size, flags, NULL, NULL) : REAL->recv(fd, data, size, flags);
}
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags)
{
  if (size > room) abort();
  return recv(fd, data, size, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
  int got = REAL->recvmmsg(fd, messages, count, flags, timeout);
  for (int i = 0; i < got; i++) {
    struct msghdr *message = &messages[i].msg_hdr;
    struct sockaddr_in *from = is_inet(message->msg_name, message->msg_namelen) ? message->msg_name : NULL;
    if (!(flags & NOT_FOR_THE_RECORD)) note_data(recorded(fd), 'r', from, message->msg_iov, messages[i].msg_len, 0);
    tell_lab_place(message->msg_name, message->msg_namelen);
  }
  return got;
}

/* --- callers ------------------------------------------------------------------------------------------------- */

/* A daemon waits in select() or poll() until there is a caller and then takes him. If we sent that caller away, a
 * second accept() would block with nobody at the door. EINTR sends the daemon back to waiting: Exim logs any other
 * errno. A program that did not wait first (nc) goes on waiting in accept(). */
static _Thread_local bool has_waited;
static int waited(int rc)
{
  if (rc > 0) has_waited = true;
  return rc;
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
  if (is_holding_back && timeout > 0 && timeout <= 200) timeout = 0; /* see setsockopt() */
  is_holding_back = false;
  return waited(REAL->poll(fds, n, timeout));
}
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
  return waited(REAL->__poll_chk(fds, n, timeout, size));
}
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
  return waited(REAL->ppoll(fds, n, timeout, mask));
}
int select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict x, struct timeval *restrict timeout)
{
  return waited(REAL->select(n, r, w, x, timeout));
}
int pselect(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict x,
    const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
  return waited(REAL->pselect(n, r, w, x, timeout, mask));
}
int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
  return waited(REAL->epoll_wait(fd, events, n, timeout));
}
int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
  return waited(REAL->epoll_pwait(fd, events, n, timeout, mask));
}

enum { NOT_LISTED, GONE, OWNED };

/* The user whose socket is at the caller's end: the kernel knows, and says so in some microseconds (sock_diag(7)). */
static int asked_owner(const struct sockaddr_in *caller, const struct sockaddr_in *here, uid_t *owner)
{
  struct { struct nlmsghdr head; struct inet_diag_req_v2 about; } question = {
    .head = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
    .about = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = -1, .id = {
      .idiag_sport = caller->sin_port, .idiag_src = {caller->sin_addr.s_addr},
      .idiag_dport = here->sin_port, .idiag_dst = {here->sin_addr.s_addr},
      .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
  union { struct nlmsghdr head; char room[1024]; } answer;
  int fd = REAL->socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), found = NOT_LISTED;
  if (fd < 0) return found;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t got = syscall(SYS_sendto, fd, &question, sizeof question, 0, &kernel, sizeof kernel);
  if (got > 0) got = syscall(SYS_recvfrom, fd, &answer, sizeof answer, 0, NULL, NULL);
  syscall(SYS_close, fd);
  if (got < (ssize_t) NLMSG_LENGTH(sizeof(int))) return found;
  const struct nlmsgerr *problem = NLMSG_DATA(&answer);
  if (answer.head.nlmsg_type == NLMSG_ERROR) return problem->error == -ENOENT ? GONE : found;
  if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY) return found;
  const struct inet_diag_msg *socket = NLMSG_DATA(&answer);
  *owner = socket->idiag_uid;
  return socket->idiag_inode ? OWNED : GONE;
}

/* The same by a table of the kernel's, in milliseconds, for sandboxes without sock_diag: see labkit/net/callers.py. */
static int owner_in(const char *table, const char *prefix, const struct sockaddr_in *caller,
    const struct sockaddr_in *here, uid_t *owner)
{
  char theirs[80], ours[80], text[32768 + 1];
  int width = snprintf(theirs, sizeof theirs, "%s%08X:%04X %s%08X:%04X ", prefix, caller->sin_addr.s_addr,
                       ntohs(caller->sin_port), prefix, here->sin_addr.s_addr, ntohs(here->sin_port));
  snprintf(ours, sizeof ours, "%s%08X:%04X %s%08X:%04X ", prefix, here->sin_addr.s_addr, ntohs(here->sin_port),
           prefix, caller->sin_addr.s_addr, ntohs(caller->sin_port));
  int fd = syscall(SYS_openat, AT_FDCWD, table, O_RDONLY | O_CLOEXEC), found = NOT_LISTED;
  size_t held = 0;
  ssize_t got;
  while (fd >= 0 && found != OWNED && (got = syscall(SYS_read, fd, text + held, sizeof text - 1 - held)) > 0) {
    char *line = text, *end;
    text[held += got] = 0;
    for (; (end = strchr(line, '\n')); line = end + 1) {
      char *columns = strchr(line, ':');
      if (!columns || columns > end) continue;
      columns += 2;
      if (!strncmp(columns, ours, width)) found = found == NOT_LISTED ? GONE : found; /* so the table is good for us */
      if (strncmp(columns, theirs, width)) continue;
      unsigned long inode;
      if (sscanf(columns + width, "%*x %*x:%*x %*x:%*x %*x %u %*d %lu", owner, &inode) == 2)
        found = inode ? OWNED : GONE; /* without an inode it is closed, and listed as root's */
      if (found == OWNED) break;
    }
    if (end) break;
    held = strlen(line);
    memmove(text, line, held);
  }
  if (fd >= 0) syscall(SYS_close, fd);
  return found;
}

static bool is_users_own(const struct sockaddr_in *caller, const struct sockaddr_in *here)
{ /* where nothing can be known, everybody may call */
  uid_t owner = 0;
  int found = asked_owner(caller, here, &owner);
  if (found == NOT_LISTED) {
    found = owner_in("/proc/net/tcp", "", caller, here, &owner);
    if (found != OWNED) { /* an IPv6 socket that speaks IPv4 */
      int found6 = owner_in("/proc/net/tcp6", "0000000000000000FFFF0000", caller, here, &owner);
      if (found6 != NOT_LISTED) found = found6;
    }
  }
  if (found != OWNED) return found == NOT_LISTED;
  for (size_t i = 0; i < lab.n_callers; i++)
    if (lab.callers[i] == owner) return true;
  return owner == 0 || owner == geteuid();
}

static bool is_welcome(int fd, const struct sockaddr_in *caller)
{
  struct sockaddr_in here;
  socklen_t n = sizeof here;
  if (REAL->getsockname(fd, (struct sockaddr *) &here, &n)) return true;
  if (lab_address(caller->sin_addr.s_addr)) return is_users_own(caller, &here);
  unsigned port = ntohs(lab_port(here.sin_port));
  if (port == 25 || port == 587 || port == 2525) { /* where they speak SMTP, and the server speaks first */
    char text[512], from[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &caller->sin_addr, from, sizeof from);
    int size = snprintf(text, sizeof text, "554 %.255s: you call from %s, which is no host of this lab: "
                        "use labkit run or ./lab shell\r\n", lab.name ? lab.name : "localhost", from);
    syscall(SYS_sendto, fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    REAL->shutdown(fd, SHUT_WR);
  }
  return false;
}

int accept4(int fd, struct sockaddr *restrict a, socklen_t *restrict n, int flags)
{
  if (!in_lab) return REAL->accept4(fd, a, n, flags);
  bool must_not_block = has_waited;
  has_waited = false;
  for (;;) {
    struct sockaddr_storage caller;
    socklen_t size = sizeof caller;
    int taken = REAL->accept4(fd, (struct sockaddr *) &caller, &size, flags);
    if (taken < 0) return taken;
    forget(taken);
    if (caller.ss_family != AF_INET || is_welcome(taken, (struct sockaddr_in *) &caller)) {
      tell_lab_place((struct sockaddr *) &caller, size);
      if (a && n) memcpy(a, &caller, *n < size ? *n : size), *n = size;
      return taken;
    }
    syscall(SYS_close, taken);
    bool is_blocking = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    struct pollfd door = {.fd = fd, .events = POLLIN};
    if (must_not_block && is_blocking && REAL->poll(&door, 1, 0) == 0) return fail(EINTR);
  }
}
int accept(int fd, struct sockaddr *restrict a, socklen_t *restrict n)
{
  return in_lab ? accept4(fd, a, n, 0) : REAL->accept(fd, a, n);
}

/* --- interfaces ---------------------------------------------------------------------------------------------- */

/* A machine with lo and eth0; one block of memory, so that freeifaddrs() is free(). */
struct interfaces {
  struct ifaddrs list[2];
  struct sockaddr_in addresses[2], masks[2];
};

static struct sockaddr_in plain(in_addr_t address)
{
  return (struct sockaddr_in) {.sin_family = AF_INET, .sin_addr = {address}};
}

int getifaddrs(struct ifaddrs **result)
{
  if (!in_lab) return REAL->getifaddrs(result);
  struct interfaces *all = calloc(1, sizeof *all);
  if (!all) return fail(ENOMEM);
  static char *const names[] = {"lo", "eth0"};
  for (int i = 0; i < 2; i++) {
    all->addresses[i] = plain(i ? lab.own : htonl(INADDR_LOOPBACK));
    all->masks[i] = plain(htonl(i ? 0xffffff00 : 0xff000000));
    all->list[i] = (struct ifaddrs) {.ifa_name = names[i], .ifa_flags = IFF_UP | IFF_RUNNING | (i ? 0
        : IFF_LOOPBACK),
      .ifa_addr = (struct sockaddr *) &all->addresses[i], .ifa_netmask = (struct sockaddr *) &all->masks[i]};
  }
  if (lab.own) all->list[0].ifa_next = &all->list[1];
  *result = all->list;
  return 0;
}
void freeifaddrs(struct ifaddrs *list)
{
  if (in_lab) free(list);
  else REAL->freeifaddrs(list);
}

int ioctl(int fd, unsigned long request, ...)
{ /* the older way to ask for interfaces */
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (!in_lab || (request & ~0xffUL) != (SIOCGIFCONF & ~0xffUL)) return REAL->ioctl(fd, request, argument);
  struct ifreq *one = argument;
  if (request == SIOCGIFCONF) {
    struct ifconf *all = argument;
    int n = lab.own ? 2 : 1, room = all->ifc_len / (int) sizeof *one;
    for (int i = 0; i < n && i < room && all->ifc_req; i++) {
      strcpy(all->ifc_req[i].ifr_name, i ? "eth0" : "lo");
      *(struct sockaddr_in *) &all->ifc_req[i].ifr_addr = plain(i ? lab.own : htonl(INADDR_LOOPBACK));
    }
    all->ifc_len = (all->ifc_req && room < n ? room : n) * sizeof *one;
    return 0;
  }
  bool is_lo = request == SIOCGIFADDR || request == SIOCGIFFLAGS || request == SIOCGIFNETMASK;
  if (!is_lo) return REAL->ioctl(fd, request, argument);
  is_lo = !strcmp(one->ifr_name, "lo");
  if (!is_lo && strcmp(one->ifr_name, "eth0")) return fail(ENODEV);
  if (request == SIOCGIFFLAGS) one->ifr_flags = IFF_UP | IFF_RUNNING | (is_lo ? IFF_LOOPBACK : 0);
  else if (request == SIOCGIFADDR) *(struct sockaddr_in *) &one->ifr_addr = plain(is_lo
      ? htonl(INADDR_LOOPBACK) : lab.own);
  else *(struct sockaddr_in *) &one->ifr_netmask = plain(htonl(is_lo ? 0xff000000 : 0xffffff00));
  return 0;
}

/* --- names --------------------------------------------------------------------------------------------------- */

int uname(struct utsname *about)
{
  int rc = REAL->uname(about);
  if (rc == 0 && lab.name) snprintf(about->nodename, sizeof about->nodename, "%s", lab.name);
  return rc;
}
int gethostname(char *name, size_t size)
{
  if (!lab.name) return REAL->gethostname(name, size);
  if (strlen(lab.name) >= size) return fail(ENAMETOOLONG);
  strcpy(name, lab.name);
  return 0;
}
int __gethostname_chk(char *name, size_t size, size_t room)
{
  (void) room;
  return gethostname(name, size);
}

/* resolv.conf cannot name a port; glibc's own state can, and glibc keeps a state that was changed. Each thread has a
 * state of its own, so every way to ask goes through here. NULL: this thread's. */
static void ask_the_lab(res_state state)
{
  if (!lab.dns.sin_family) return;
  if (!state) state = &_res;
  if (!(state->options & RES_INIT)) REAL->__res_ninit(state);
  if (!memcmp(&state->nsaddr_list[0], &lab.dns, sizeof lab.dns) && state->nscount == 1) return;
  state->nsaddr_list[0] = lab.dns;
  state->nscount = 1;
  state->retrans = state->retry = 1;
  state->options |= RES_NORELOAD;
#ifdef RES_TRUSTAD /* the lab's nameserver validates; since 2.31 glibc hides the AD bit of one that is not trusted */
  state->options |= RES_TRUSTAD;
#endif
  state->defdname[0] = 0;
  state->dnsrch[0] = NULL;
}

/* The lab's nameserver answers at once, or is silent because somebody has told it to be: a second is enough to wait
 * for it. But a machine with too much to do may leave a question unread for longer. That is no silence, and must not
 * decide what a lab shows: then it is asked again. */
static const int BUSY_SECONDS = 30;
static bool has_not_read(int *asked)
{
  char text[32768 + 1], place[32], *line;
  int width = snprintf(place, sizeof place, ": %08X:%04X ", lab.dns.sin_addr.s_addr, ntohs(lab.dns.sin_port));
  if (!in_lab || !lab.dns.sin_family || ++*asked > BUSY_SECONDS) return false;
  int problem = errno, fd = syscall(SYS_openat, AT_FDCWD, "/proc/net/udp", O_RDONLY | O_CLOEXEC);
  unsigned long unread = 0;
  size_t held = 0;
  ssize_t got;
  while (fd >= 0 && (got = syscall(SYS_read, fd, text + held, sizeof text - 1 - held)) > 0) {
    text[held += got] = 0;
    for (char *end = line = text; (end = strchr(line, '\n')); line = end + 1) {
      char *columns = strchr(line, ':');
      unsigned long octets;
      if (columns && columns < end && !strncmp(columns, place, width)
          && sscanf(columns + width, "%*x:%*x %*x %*x:%lx", &octets) == 1)
        unread += octets;
    }
    held = strlen(line);
    memmove(text, line, held);
  }
  if (fd >= 0) syscall(SYS_close, fd);
  errno = problem;
  return unread;
}

int __res_init(void)
{
  int rc = REAL->__res_init();
  ask_the_lab(&_res);
  return rc;
}
int __res_ninit(res_state state)
{
  int rc = REAL->__res_ninit(state);
  if (rc == 0) ask_the_lab(state);
  return rc;
}
int res_init(void) { return __res_init(); }
int res_ninit(res_state state) { return __res_ninit(state); }

/* glibc 2.34 moved these from libresolv (as __res_query) to libc (as res_query): programs may want either. */
static void *resolver_function(const char *name)
{
  void *found = dlsym(RTLD_NEXT, name + 2);
  return found ? found : dlsym(RTLD_NEXT, name);
}
#define ASKS(name, state, parameters, ...)                                                                         \
  int __##name parameters                                                                                          \
  {                                                                                                                \
    static int (*next) parameters;                                                                                 \
    expect_load();                                                                                                 \
    if (!next) next = (int (*) parameters) resolver_function("__" #name);                                          \
    int problem = errno, asked = 0, rc;                                                                            \
    do {                                                                                                           \
      errno = 0;                                                                                                   \
      ask_the_lab(state);                                                                                          \
      rc = next(__VA_ARGS__);                                                                                      \
    } while (rc < 0 && errno == ETIMEDOUT && has_not_read(&asked));                                                \
    errno = errno ? errno : problem;                                                                               \
    return rc;                                                                                                     \
  }                                                                                                                \
  int name parameters { return __##name(__VA_ARGS__); }
typedef unsigned char octet;

ASKS(res_query, NULL, (const char *q, int c, int t, octet *a, int n), q, c, t, a, n)
ASKS(res_search, NULL, (const char *q, int c, int t, octet *a, int n), q, c, t, a, n)
ASKS(res_querydomain, NULL, (const char *q, const char *d, int c, int t, octet *a, int n), q, d, c, t, a, n)
ASKS(res_send, NULL, (const octet *m, int l, octet *a, int n), m, l, a, n)
ASKS(res_nquery, s, (res_state s, const char *q, int c, int t, octet *a, int n), s, q, c, t, a, n)
ASKS(res_nsearch, s, (res_state s, const char *q, int c, int t, octet *a, int n), s, q, c, t, a, n)
ASKS(res_nquerydomain, s, (res_state s, const char *q, const char *d, int c, int t, octet *a, int n), s, q, d,
    c, t, a, n)
ASKS(res_nsend, s, (res_state s, const octet *m, int l, octet *a, int n), s, m, l, a, n)

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
    struct addrinfo **restrict result)
{
  ask_the_lab(NULL);
  if (!in_lab) return REAL->getaddrinfo(host, service, hints, result);
  struct addrinfo wanted = {0};
  if (hints) wanted = *hints;
  wanted.ai_flags &= ~AI_ADDRCONFIG; /* glibc would look at the machine's interfaces */
  bool is_number = host && strchr(host, ':');
  if (wanted.ai_family == AF_UNSPEC && !is_number) wanted.ai_family = AF_INET; /* no IPv6: no need to ask for AAAA */
  int rc, asked = 0;
  do
    rc = REAL->getaddrinfo(host, service, &wanted, result);
  while (rc == EAI_AGAIN && has_not_read(&asked));
  return rc;
}
/* glibc does it in a thread of its own, which knows nothing of the lab. Here it is done before we return: early enough
 * for whoever asks later whether it is done; to tell those who want to be told would need such a thread. */
int getaddrinfo_a(int mode, struct gaicb *list[restrict], int n, struct sigevent *restrict event)
{
  expect_load();
  if (!in_lab) return REAL->getaddrinfo_a(mode, list, n, event);
  if (mode == GAI_NOWAIT && event && event->sigev_notify != SIGEV_NONE) return fail(ENOSYS), EAI_SYSTEM;
  for (int i = 0; i < n; i++)
    if (list[i]) list[i]->__return = getaddrinfo(list[i]->ar_name, list[i]->ar_service, list[i]->ar_request,
        &list[i]->ar_result);
  return 0;
}
int getnameinfo(const struct sockaddr *restrict a, socklen_t n, char *restrict host, socklen_t host_size,
    char *restrict service, socklen_t service_size, int flags)
{
  ask_the_lab(NULL);
  return REAL->getnameinfo(a, n, host, host_size, service, service_size, flags);
}
#define PATIENTLY(call)                                                                                            \
  ask_the_lab(NULL);                                                                                               \
  struct hostent *found;                                                                                           \
  int asked = 0;                                                                                                   \
  do                                                                                                               \
    found = call;                                                                                                  \
  while (!found && h_errno == TRY_AGAIN && has_not_read(&asked));                                                  \
  return found;
struct hostent *gethostbyname(const char *name) { PATIENTLY(REAL->gethostbyname(name)) }
struct hostent *gethostbyname2(const char *name, int family) { PATIENTLY(REAL->gethostbyname2(name, family)) }
struct hostent *gethostbyaddr(const void *a, socklen_t n, int family) { PATIENTLY(REAL->gethostbyaddr(a, n, family)) }
int gethostbyname_r(const char *restrict name, struct hostent *restrict entry, char *restrict buffer,
    size_t size, struct hostent **restrict result, int *restrict problem)
{
  ask_the_lab(NULL);
  return REAL->gethostbyname_r(name, entry, buffer, size, result, problem);
}
int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict entry,
    char *restrict buffer, size_t size, struct hostent **restrict result, int *restrict problem)
{
  ask_the_lab(NULL);
  return REAL->gethostbyname2_r(name, family, entry, buffer, size, result, problem);
}
int gethostbyaddr_r(const void *restrict a, socklen_t n, int family, struct hostent *restrict entry,
    char *restrict buffer, size_t size, struct hostent **restrict result, int *restrict problem)
{
  ask_the_lab(NULL);
  return REAL->gethostbyaddr_r(a, n, family, entry, buffer, size, result, problem);
}

long gethostid(void) { ask_the_lab(NULL); return REAL->gethostid(); } /* asks for its own name's address */

/* rsh and its kin call, listen and ask by functions inside the C library. Who uses them is told that it is no use. */
#define NO_USE(name, parameters, ...)                                                                              \
  int name parameters { return (expect_load(), in_lab) ? fail(ENETUNREACH) : REAL->name(__VA_ARGS__); }

NO_USE(rcmd, (char **restrict h, unsigned short p, const char *restrict l, const char *restrict r,
    const char *restrict c, int *restrict e), h, p, l, r, c, e)
NO_USE(rcmd_af, (char **restrict h, unsigned short p, const char *restrict l, const char *restrict r,
    const char *restrict c, int *restrict e, sa_family_t f), h, p, l, r, c, e, f)
NO_USE(rexec, (char **restrict h, int p, const char *restrict u, const char *restrict w, const char *restrict c,
    int *restrict e), h, p, u, w, c, e)
NO_USE(rexec_af, (char **restrict h, int p, const char *restrict u, const char *restrict w, const char *restrict c,
    int *restrict e, sa_family_t f), h, p, u, w, c, e, f)
NO_USE(rresvport, (int *p), p)
NO_USE(rresvport_af, (int *p, sa_family_t f), p, f)
NO_USE(ruserok, (const char *h, int s, const char *r, const char *l), h, s, r, l)
NO_USE(ruserok_af, (const char *h, int s, const char *r, const char *l, sa_family_t f), h, s, r, l, f)
NO_USE(iruserok, (uint32_t a, int s, const char *r, const char *l), a, s, r, l)
NO_USE(iruserok_af, (const void *a, int s, const char *r, const char *l, sa_family_t f), a, s, r, l, f)

/* libspf2 passes every client in 127/8; the lab's are no longer there, and a host must not trust itself blindly */
int SPF_request_is_loopback(void *request)
{
  (void) request;
  return 0;
}

/* --- accounts ------------------------------------------------------------------------------------------------ */

static const struct account *account_of(const char *name)
{
  for (size_t i = 0; name && i < lab.n_accounts; i++)
    if (!strcmp(lab.accounts[i].name, name)) return &lab.accounts[i];
  return NULL;
}

static struct passwd *entry_of(const struct account *account, struct passwd *entry)
{ /* files of all accounts belong to who runs the lab */
  *entry = (struct passwd) {(char *) account->name, "x", getuid(), getgid(), "", (char *) account->home, "/bin/sh"};
  return entry;
}

static int copied_entry(const struct account *account, struct passwd *entry, char *buffer, size_t size,
    struct passwd **result)
{
  size_t name = strlen(account->name) + 1, home = strlen(account->home) + 1;
  *result = NULL;
  if (name + home > size) return ERANGE;
  struct account copy = {memcpy(buffer, account->name, name), memcpy(buffer + name, account->home, home)};
  *result = entry_of(&copy, entry);
  return 0;
}

/* who runs the program: an account of the host; or whom the lab names (the daemon's "exim"), whoever that is on this
   machine; or somebody whom a container's passwd does not know */
static bool is_own(uid_t uid) { return in_lab && (uid == getuid() || uid == geteuid()); }
static const struct account *made_up(void)
{
  static struct account somebody;
  somebody = (struct account) {lab.user ? lab.user : "somebody", "/"};
  return &somebody;
}
static const struct account *own_account(uid_t uid)
{
  if (!is_own(uid) || !lab.user) return NULL;
  const struct account *account = account_of(lab.user);
  return account ? account : made_up();
}
static bool is_own_name(const char *name) { return in_lab && lab.user && !strcmp(name, lab.user); }

static _Thread_local struct passwd own_entry;

/* The accounts of this machine's people do not exist in the lab; root, mail, nobody and their like do, as anywhere. */
static bool is_somebody(uid_t uid) { return in_lab && uid >= 1000 && uid != 65534; }

struct passwd *getpwnam(const char *name)
{
  const struct account *account = account_of(name);
  struct passwd *found = account ? entry_of(account, &own_entry) : REAL->getpwnam(name);
  if (found && !account && is_somebody(found->pw_uid)) found = NULL;
  return !found && is_own_name(name) ? entry_of(made_up(), &own_entry) : found;
}
int getpwnam_r(const char *restrict name, struct passwd *restrict entry, char *restrict buffer, size_t size,
    struct passwd **restrict result)
{
  const struct account *account = account_of(name);
  if (account) return copied_entry(account, entry, buffer, size, result);
  int rc = REAL->getpwnam_r(name, entry, buffer, size, result);
  if (!rc && *result && is_somebody(entry->pw_uid)) *result = NULL;
  return !rc && !*result && is_own_name(name) ? copied_entry(made_up(), entry, buffer, size, result) : rc;
}
struct passwd *getpwuid(uid_t uid)
{
  const struct account *account = own_account(uid);
  struct passwd *found = account ? entry_of(account, &own_entry) : REAL->getpwuid(uid);
  return !found && is_own(uid) ? entry_of(made_up(), &own_entry) : found;
}
int getpwuid_r(uid_t uid, struct passwd *restrict entry, char *restrict buffer, size_t size,
    struct passwd **restrict result)
{
  const struct account *account = own_account(uid);
  if (account) return copied_entry(account, entry, buffer, size, result);
  int rc = REAL->getpwuid_r(uid, entry, buffer, size, result);
  return !rc && !*result && is_own(uid) ? copied_entry(made_up(), entry, buffer, size, result) : rc;
}
char *getlogin(void) { return lab.user ? (char *) lab.user : REAL->getlogin(); }
int getlogin_r(char *name, size_t size)
{
  if (!lab.user) return REAL->getlogin_r(name, size);
  if (strlen(lab.user) >= size) return ERANGE;
  strcpy(name, lab.user);
  return 0;
}

/* --- files that are the lab's -------------------------------------------------------------------------------- */

static const char *redirected(const char *path)
{
  for (size_t i = 0; path && i < lab.n_redirects; i++)
    if (!strcmp(lab.redirects[i].path, path)) return lab.redirects[i].real;
  return path;
}

/* open() has a third argument only if a file may be made; to read one that is not there does no harm on Linux */
#define MODE_AFTER(last)                                                                                           \
  va_list rest;                                                                                                    \
  va_start(rest, last);                                                                                            \
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
  va_end(rest)

FILE *fopen(const char *restrict path, const char *restrict mode) { return REAL->fopen(redirected(path), mode); }
FILE *fopen64(const char *restrict path, const char *restrict mode)
{
  return REAL->fopen64(redirected(path), mode);
}
int open(const char *path, int flags, ...) { MODE_AFTER(flags); return REAL->open(redirected(path), flags, mode); }
int open64(const char *path, int flags, ...)
{
  MODE_AFTER(flags);
  return REAL->open64(redirected(path), flags, mode);
}
int openat(int at, const char *path, int flags, ...)
{
  MODE_AFTER(flags);
  return REAL->openat(at, redirected(path), flags, mode);
}
int openat64(int at, const char *path, int flags, ...)
{
  MODE_AFTER(flags);
  return REAL->openat64(at, redirected(path), flags, mode);
}
int __open_2(const char *path, int flags) { return REAL->__open_2(redirected(path), flags); }
int __open64_2(const char *path, int flags) { return REAL->__open64_2(redirected(path), flags); }
int __openat_2(int at, const char *path, int flags) { return REAL->__openat_2(at, redirected(path), flags); }
int __openat64_2(int at, const char *path, int flags) { return REAL->__openat64_2(at, redirected(path), flags); }

/* --- time ---------------------------------------------------------------------------------------------------- */

/* Lab time. Between two jumps the lab's clock stands still; but Exim waits until its clock has moved on before it
 * names the next message, so with `ticks` each look moves it. Without, time runs on while the program runs. */
static int64_t lab_time(bool is_look)
{
  if (!lab.ticks) return lab.clock->lab_ns + kernel_clock(CLOCK_MONOTONIC) - lab.up;
  uint64_t looks = is_look ? __atomic_add_fetch(&lab.clock->looks, 1, __ATOMIC_RELAXED) : lab.clock->looks;
  return lab.clock->standing_ns + (int64_t) looks * lab.ticks;
}

int clock_gettime(clockid_t which, struct timespec *t)
{
  if (!lab.clock) return REAL->clock_gettime(which, t);
  bool is_real = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
  bool is_up = which == CLOCK_MONOTONIC || which == CLOCK_MONOTONIC_RAW || which == CLOCK_MONOTONIC_COARSE
      || which == CLOCK_BOOTTIME;
  /* Exim keeps the difference of the two clocks: both jump, so that it stays what it was */
  if (!is_real && !(is_up && lab.ticks)) return REAL->clock_gettime(which, t);
  int64_t now = lab_time(true) - (is_up ? lab.started - lab.up : 0);
  *t = (struct timespec) {now / 1000000000, now % 1000000000};
  return 0;
}
time_t time(time_t *result)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (result) *result = t.tv_sec;
  return t.tv_sec;
}
int gettimeofday(struct timeval *restrict result, void *restrict zone)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  *result = (struct timeval) {t.tv_sec, t.tv_nsec / 1000};
  if (zone) memset(zone, 0, sizeof(struct timezone));
  return 0;
}
int timespec_get(struct timespec *t, int base)
{
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, t) ? base : 0;
}

/* Exim sleeps for the rest of half a millisecond to get the next message's name, and looks again: with looks alone it
 * would do so 200 times. So who sets himself so short a timer finds the clock moved on by as much. */
int setitimer(__itimer_which_t which, const struct itimerval *restrict new, struct itimerval *restrict old)
{
  if (lab.clock && lab.ticks && which == ITIMER_REAL && new->it_value.tv_sec == 0 && new->it_value.tv_usec < 50000)
    __atomic_add_fetch(&lab.clock->looks, new->it_value.tv_usec * 1000 / lab.ticks, __ATOMIC_RELAXED);
  return REAL->setitimer(which, new, old);
}

/* --- programs that the program starts ------------------------------------------------------------------------ */

static const char *value_in(char *const environment[], const char *name)
{
  size_t n = strlen(name);
  for (; environment && *environment; environment++)
    if (!strncmp(*environment, name, n) && (*environment)[n] == '=') return *environment + n + 1;
  return NULL;
}

static size_t length(char *const list[])
{
  size_t n = 0;
  while (list && list[n]) n++;
  return n;
}

/* The environment with the lab in it: Exim clears it before it calls itself. What the caller chose himself is left.
 * The lists lie on the stack: a child of vfork() must not use malloc. */
static char **lab_environment(char *const given[], char *result[], char *preload)
{
  size_t n = 0;
  const char *theirs = value_in(given, "LD_PRELOAD");
  bool must_join = theirs && *own_path && !strstr(theirs, own_path);
  for (size_t i = 0; given && given[i]; i++)
    if (!must_join || strncmp(given[i], "LD_PRELOAD=", 11)) result[n++] = given[i];
  if (must_join) {
    sprintf(preload, "LD_PRELOAD=%s:%s", own_path, theirs);
    result[n++] = preload;
  }
  for (int i = 0; i < N_KEPT; i++)
    if (kept[i] && !value_in(given, kept_names[i])) result[n++] = kept[i];
  result[n] = NULL;
  return result;
}
static size_t preload_room(char *const given[])
{
  const char *theirs = value_in(given, "LD_PRELOAD");
  return theirs ? strlen(theirs) + strlen(own_path) + 16 : 1;
}
#define WITH_LAB(given)                                                                                            \
  (in_lab ? lab_environment(given, alloca((length(given) + N_KEPT + 2) * sizeof(char *)), alloca(preload_room(given))) \
          : (char **) (given))

int execve(const char *path, char *const argv[], char *const envp[])
{
  return REAL->execve(path, argv, WITH_LAB(envp));
}
int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }
int execvpe(const char *file, char *const argv[], char *const envp[])
{
  return REAL->execvpe(file, argv, WITH_LAB(envp));
}
int execvp(const char *file, char *const argv[]) { return execvpe(file, argv, environ); }
int execveat(int at, const char *path, char *const argv[], char *const envp[], int flags)
{
  return REAL->execveat(at, path, argv, WITH_LAB(envp), flags);
}
int fexecve(int fd, char *const argv[], char *const envp[]) { return REAL->fexecve(fd, argv, WITH_LAB(envp)); }

/* execl and its kin: the arguments as a list, and for execle the environment behind their end */
#define ARGUMENTS(first, argv, environment_too)                                                                    \
  va_list rest;                                                                                                    \
  size_t n = 1;                                                                                                    \
  va_start(rest, first);                                                                                           \
  while (va_arg(rest, char *)) n++;                                                                     \
  va_end(rest);                                                                                                    \
  char **argv = alloca((n + 1) * sizeof(char *)), **envp = environ;                                                \
  argv[0] = (char *) first;                                                                                        \
  va_start(rest, first);                                                                                           \
  for (size_t i = 1; i <= n; i++) argv[i] = argv[i - 1] ? va_arg(rest, char *) : NULL;                             \
  if (environment_too) envp = va_arg(rest, char **);                                                               \
  va_end(rest)

int execl(const char *path, const char *first, ...)
{
  ARGUMENTS(first, argv, false);
  return execve(path, argv, envp);
}
int execle(const char *path, const char *first, ...)
{
  ARGUMENTS(first, argv, true);
  return execve(path, argv, envp);
}
int execlp(const char *file, const char *first, ...)
{
  ARGUMENTS(first, argv, false);
  return execvpe(file, argv, envp);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path,
    const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict how,
        char *const argv[restrict], char *const envp[restrict])
{
  return REAL->posix_spawn(pid, path, actions, how, argv, WITH_LAB(envp));
}
int posix_spawnp(pid_t *restrict pid, const char *restrict file,
    const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict how,
        char *const argv[restrict], char *const envp[restrict])
{
  return REAL->posix_spawnp(pid, file, actions, how, argv, WITH_LAB(envp));
}

static void restore_environment(void)
{ /* system() and popen() hand on the environment as it is */
  for (int i = 0; in_lab && i < N_KEPT; i++)
    if (kept[i] && !getenv(kept_names[i])) putenv(kept[i]);
}
int system(const char *command) { restore_environment(); return REAL->system(command); }
FILE *popen(const char *command, const char *mode) { restore_environment(); return REAL->popen(command, mode); }

/* --- at the start -------------------------------------------------------------------------------------------- */

/* A program that calls res_search() without res_init() makes glibc initialise itself by a call that cannot be hooked;
 * so it is done here. The nameserver is the lab's whatever the machine's nsswitch.conf says. */
__attribute__((constructor)) static void at_start(void)
{
  expect_load();
  if (!in_lab) return;
  __nss_configure_lookup("hosts", "files dns");
  __nss_configure_lookup("networks", "files"); /* getnetbyname() asks the DNS too */
  ask_the_lab(NULL);
}
