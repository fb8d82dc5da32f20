/* probe.c - call the C library as the words say, and print what it answers: for tests/net/test_shim.py.
 *
 * Each word is one call, `name` or `name=argument`; each prints one word: what came back, or the errno's name.
 * Places are written ADDRESS:PORT; with `_unspec` behind the name the address has no family. `thread` makes the
 * calls that follow in another thread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int SPF_request_is_loopback(void *) __attribute__((weak));
extern int execveat(int, const char *, char *const[], char *const[], int) __attribute__((weak)); /* new in glibc 2.34 */

static int fd = -1, listener = -1;
static char text[70000], *self;

static const char *done(long rc, const char *words) { return rc < 0 ? strerrorname_np(errno) : words; }

static struct sockaddr_in place_of(const char *words)
{
  char address[64] = "";
  unsigned port = 0;
  sscanf(words, "%63[^:]:%u", address, &port);
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &place.sin_addr);
  return place;
}
static const char *written(const struct sockaddr_in *place)
{ /* the ports of callers differ each time */
  static char words[64];
  unsigned port = ntohs(place->sin_port);
  snprintf(words, sizeof words, port > 32767 ? "%s:any" : "%s:%u", inet_ntoa(place->sin_addr), port);
  return words;
}

static const char *addresses_of(const char *name, int family)
{
  struct addrinfo *found, hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
  int problem = getaddrinfo(name, NULL, &hints, &found);
  if (problem) return gai_strerror(problem);
  text[0] = 0;
  for (struct addrinfo *one = found; one; one = one->ai_next) {
    char address[INET6_ADDRSTRLEN];
    const void *at = one->ai_family == AF_INET ? (void *) &((struct sockaddr_in *) one->ai_addr)->sin_addr
                                               : (void *) &((struct sockaddr_in6 *) one->ai_addr)->sin6_addr;
    sprintf(text + strlen(text), "%s%s", text[0] ? "," : "", inet_ntop(one->ai_family, at, address,
        sizeof address));
  }
  return text;
}
static const char *host_of(struct hostent *entry)
{
  return entry ? inet_ntoa(*(struct in_addr *) entry->h_addr) : hstrerror(h_errno);
}

static const char *entry_of(const struct passwd *entry)
{
  if (!entry) return "none";
  snprintf(text, sizeof text, "%s:%s:%s:%s", entry->pw_name, entry->pw_uid == getuid() ? "own" : "other",
      entry->pw_dir, entry->pw_shell);
  return text;
}
static const char *first_line(FILE *file)
{
  if (!file) return strerrorname_np(errno);
  if (!fgets(text, sizeof text, file)) text[0] = 0;
  fclose(file);
  text[strcspn(text, "\n")] = 0;
  return text;
}
static const char *child(pid_t pid)
{
  int status;
  waitpid(pid, &status, 0);
  return "ended";
}
static char *const no_environment[] = {NULL};
static char *const other_preload[] = {"LD_PRELOAD=libm.so.6", "LABADDR=203.0.113.99", NULL};

static const char *run(const char *how)
{
  char *const argv[] = {self, "environment", NULL};
  pid_t pid;
  if (!strcmp(how, "system")) {
    clearenv();
    snprintf(text, sizeof text, "%s environment", self);
    return system(text) ? "failed" : "ended";
  }
  if (!strcmp(how, "popen")) {
    clearenv();
    snprintf(text, sizeof text, "%s environment", self);
    return pclose(popen(text, "w")) ? "failed" : "ended";
  }
  if (!strcmp(how, "posix_spawn")) return posix_spawn(&pid, self, NULL, NULL, argv, no_environment)
      ? "failed" : child(pid);
  if (!strcmp(how, "posix_spawnp")) return posix_spawnp(&pid, self, NULL, NULL, argv, no_environment)
      ? "failed" : child(pid);
  if ((pid = fork())) return child(pid);
  clearenv();
  if (!strcmp(how, "execve")) execve(self, argv, no_environment);
  if (!strcmp(how, "own_preload")) execve(self, argv, other_preload);
  if (!strcmp(how, "execv")) execv(self, argv);
  if (!strcmp(how, "execvp")) execvp(self, argv);
  if (!strcmp(how, "execvpe")) execvpe(self, argv, no_environment);
  if (!strcmp(how, "fexecve")) fexecve(open(self, O_RDONLY), argv, no_environment);
  if (!strcmp(how, "execveat")) execveat(AT_FDCWD, self, argv, no_environment, 0);
  if (!strcmp(how, "execl")) execl(self, self, "environment", NULL);
  if (!strcmp(how, "execlp")) execlp(self, self, "environment", NULL);
  if (!strcmp(how, "execle")) execle(self, self, "environment", NULL, no_environment);
  _exit(127);
}

static const char *call(const char *word)
{
  char name[32] = "";
  const char *argument = strchr(word, '=');
  snprintf(name, sizeof name, "%.*s", (int) (argument ? argument - word : (long) strlen(word)), word);
  argument = argument ? argument + 1 : "";
  struct sockaddr_in place = place_of(argument);
  struct sockaddr *at = (struct sockaddr *) &place;
  socklen_t n = sizeof place;
  struct iovec parts[] = {{"one", 3}, {"two", 3}};
  struct timespec now;
  struct timeval tv;
#define IS(what) (!strcmp(name, what))
  char *unspec = strstr(name, "_unspec");
  if (unspec) *unspec = 0, place.sin_family = AF_UNSPEC;

  /* sockets */
  if (IS("tcp")) return done(fd = socket(AF_INET, SOCK_STREAM, 0), "ok");
  if (IS("udp")) return done(fd = socket(AF_INET, SOCK_DGRAM, 0), "ok");
  if (IS("tcp6")) return done(socket(AF_INET6, SOCK_STREAM, 0), "ok");
  if (IS("packet")) return done(socket(AF_PACKET, SOCK_RAW, 0), "ok");
  if (IS("old_packet")) return done(socket(AF_INET, SOCK_PACKET, 0), "ok");
  if (IS("raw")) return done(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "ok");
  if (IS("sctp")) return done(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), "ok");
  if (IS("mptcp")) return done(socket(AF_INET, SOCK_STREAM, 262), "ok");
  if (IS("vsock")) return done(socket(AF_VSOCK, SOCK_STREAM, 0), "ok");
  if (IS("netlink")) return done(socket(AF_NETLINK, SOCK_RAW, 0), "ok");
  if (IS("pair")) return done(socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]) {0}), "ok");
  if (IS("join")) return done(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &(struct ip_mreq) {place.sin_addr,
      {INADDR_ANY}}, sizeof(struct ip_mreq)), "ok");
  if (IS("join_source")) return done(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &(struct ip_mreq_source) {
      .imr_multiaddr = place.sin_addr, .imr_sourceaddr = {htonl(0x7f000001)}}, sizeof(struct ip_mreq_source)), "ok");
  if (IS("join_group")) {
    struct group_req group = {0};
    memcpy(&group.gr_group, &place, n);
    return done(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &group, sizeof group), "ok");
  }
  if (IS("join_source_group")) {
    struct group_source_req group = {0};
    memcpy(&group.gsr_group, &place, n), memcpy(&group.gsr_source, &place, n);
    return done(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &group, sizeof group), "ok");
  }
  if (IS("route")) { /* a loose source route by way of that place */
    unsigned char route[8] = {131, 7, 4};
    memcpy(route + 3, &place.sin_addr, 4);
    return done(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route), "ok");
  }
  if (IS("no_route")) return done(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0), "ok");
  if (IS("interface")) return done(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), "ok");
  if (IS("interface_number")) return done(setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &(int) {htonl(1)},
      sizeof(int)), "ok");
  if (IS("really")) { /* as the kernel has it */
    return syscall(SYS_getsockname, fd, at, &n) ? strerrorname_np(errno) : inet_ntoa(place.sin_addr);
  }
  if (IS("unix")) return done(socket(AF_UNIX, SOCK_STREAM, 0), "ok");
  if (IS("bind")) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) {1}, sizeof(int)); /* over TIME-WAIT, as daemons do */
  if (IS("bind")) return done(bind(fd, at, n), "ok");
  if (IS("connect")) return done(connect(fd, at, n), "ok");
  if (IS("hurry")) return done(fcntl(fd, F_SETFL, O_NONBLOCK), "ok");
  if (IS("outcome")) {
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int problem = 0;
    n = sizeof problem;
    poll(&one, 1, 5000);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &n);
    return problem ? strerrorname_np(problem) : "ok";
  }
  if (IS("listen")) return done(listen(listener = fd, 5), "ok");
  if (IS("accept")) return (fd = accept(listener, at, &n)) < 0 ? strerrorname_np(errno) : written(&place);
  if (IS("wait")) {
    struct pollfd one = {.fd = listener, .events = POLLIN};
    return poll(&one, 1, 5000) == 1 ? "ok" : "nobody";
  }
  if (IS("name")) return getsockname(fd, at, &n) ? strerrorname_np(errno) : written(&place);
  if (IS("peer")) return getpeername(fd, at, &n) ? strerrorname_np(errno) : written(&place);
  if (IS("fastopen")) return done(sendto(fd, "hello", 5, MSG_FASTOPEN, at, n), "ok");
  if (IS("fastopen_connect")) return done(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int) {1},
      sizeof(int)), "ok");
  if (IS("close")) return done(close(fd), "ok");
  if (IS("shutdown")) return done(shutdown(fd, SHUT_WR), "ok");

  /* data */
  if (IS("write")) return done(write(fd, argument, strlen(argument)), "ok");
  if (IS("writev")) return done(writev(fd, parts, 2), "ok");
  if (IS("send")) return done(send(fd, argument, strlen(argument), 0), "ok");
  if (IS("sendto")) return done(sendto(fd, "hello", 5, 0, at, n), "ok");
  if (IS("pktinfo") || IS("retopts")) { /* a datagram that brings its own source, interface or route */
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(struct in_pktinfo))]; } extra = {0};
    struct msghdr one = {.msg_name = at, .msg_namelen = n, .msg_iov = parts, .msg_iovlen = 2,
      .msg_control = &extra, .msg_controllen = sizeof extra};
    extra.head = (struct cmsghdr) {CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IS("pktinfo") ? IP_PKTINFO
        : IP_RETOPTS};
    ((struct in_pktinfo *) CMSG_DATA(&extra.head))->ipi_ifindex = IS("pktinfo") ? 77 : 0;
    return done(sendmsg(fd, &one, 0), "ok");
  }
  if (IS("sendmsg") || IS("sendmmsg")) {
    struct mmsghdr one = {.msg_hdr = {.msg_iov = parts, .msg_iovlen = 2}};
    if (*argument) one.msg_hdr.msg_name = at, one.msg_hdr.msg_namelen = n;
    return done(IS("sendmsg") ? sendmsg(fd, &one.msg_hdr, 0) : sendmmsg(fd, &one, 1, 0), "ok");
  }
  if (IS("sendfile")) {
    off_t from = 2;
    int file = open(argument, O_RDONLY);
    return done(sendfile(fd, file, &from, 6), "ok");
  }
  if (IS("big")) return done(send(fd, memset(text, 'x', 65000), 65000, 0), "ok");
  if (IS("stdio")) {
    FILE *out = fdopen(dup(fd), "w");
    fprintf(out, "%s-", argument);
    fputs("two", out);
    fflush(out);
    fwrite("-three", 1, 6, out);
    n = fileno(out) > fd;
    return fclose(out) == 0 && n ? "ok" : "failed";
  }
  if (IS("forked_stdio")) { /* Exim forks with an answer in its buffer: the child must not say it again */
    FILE *out = fdopen(dup(fd), "w");
    fputs(argument, out);
    pid_t pid = fork();
    if (!pid) { close(fileno(out)); _exit(fclose(out) ? 1 : 0); }
    child(pid);
    return fclose(out) ? "failed" : "ok";
  }
  memset(text, 0, 200);
  if (IS("read")) return done(read(fd, text, 200), text);
  if (IS("recv")) return done(recv(fd, text, 200, 0), text);
  if (IS("peek")) return done(recv(fd, text, 200, MSG_PEEK), text);
  if (IS("readv")) return done(readv(fd, &(struct iovec) {text, 200}, 1), text);
  if (IS("recvfrom")) return recvfrom(fd, text, 200, 0, at, &n) < 0 ? strerrorname_np(errno)
      : strcat(strcat(text, "@"), written(&place));
  if (IS("recvmsg") || IS("recvmmsg")) {
    struct iovec part = {text, 200};
    struct mmsghdr one = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1, .msg_name = at, .msg_namelen = n}};
    if ((IS("recvmsg") ? recvmsg(fd, &one.msg_hdr, 0) : recvmmsg(fd, &one, 1, 0,
        NULL)) < 0) return strerrorname_np(errno);
    return strcat(strcat(text, "@"), written(&place));
  }
  if (IS("gets")) { FILE *in = fdopen(dup(fd), "r"); return first_line(in); }

  /* interfaces and names */
  if (IS("interfaces")) {
    struct ifaddrs *all;
    getifaddrs(&all);
    for (struct ifaddrs *one = all; one; one = one->ifa_next)
      sprintf(text + strlen(text), "%s%s=%s", text[0] ? "," : "", one->ifa_name,
          inet_ntoa(((struct sockaddr_in *) one->ifa_addr)->sin_addr));
    freeifaddrs(all);
    return text;
  }
  if (IS("ifconf")) {
    struct ifreq room[8];
    struct ifconf all = {.ifc_len = sizeof room, .ifc_req = room};
    if (ioctl(fd, SIOCGIFCONF, &all)) return strerrorname_np(errno);
    for (size_t i = 0; i < all.ifc_len / sizeof *room; i++) {
      ioctl(fd, SIOCGIFFLAGS, &room[i]);
      int flags = room[i].ifr_flags;
      ioctl(fd, SIOCGIFADDR, &room[i]);
      sprintf(text + strlen(text), "%s%s=%s%s", text[0] ? "," : "", room[i].ifr_name,
          inet_ntoa(((struct sockaddr_in *) &room[i].ifr_addr)->sin_addr), flags & IFF_LOOPBACK ? "*" : "");
    }
    return text;
  }
  if (IS("uname")) { static struct utsname about; uname(&about); return about.nodename; }
  if (IS("gethostname")) return done(gethostname(text, 200), text);
  if (IS("getaddrinfo")) return addresses_of(argument, AF_UNSPEC);
  if (IS("getaddrinfo6")) return addresses_of(argument, AF_INET6);
  if (IS("getaddrinfo_a") || IS("getaddrinfo_a_later") || IS("getaddrinfo_a_told")) {
    struct gaicb one = {.ar_name = argument}, *list[] = {&one};
    struct sigevent told = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    int problem = getaddrinfo_a(IS("getaddrinfo_a") ? GAI_WAIT : GAI_NOWAIT, list, 1,
        IS("getaddrinfo_a_told") ? &told : NULL);
    if (problem == EAI_SYSTEM) return strerrorname_np(errno);
    if (problem || (problem = gai_error(&one))) return gai_strerror(problem);
    return inet_ntoa(((struct sockaddr_in *) one.ar_result->ai_addr)->sin_addr);
  }
  if (IS("getnameinfo")) {
    int problem = getnameinfo(at, n, text, 200, NULL, 0, NI_NAMEREQD);
    return problem ? gai_strerror(problem) : text;
  }
  if (IS("gethostbyname")) return host_of(gethostbyname(argument));
  if (IS("gethostbyname2")) return host_of(gethostbyname2(argument, AF_INET));
  if (IS("gethostbyname_r") || IS("gethostbyname2_r")) {
    struct hostent entry, *found = NULL;
    int problem = IS("gethostbyname_r") ? gethostbyname_r(argument, &entry, text, sizeof text, &found, &h_errno)
                                        : gethostbyname2_r(argument, AF_INET, &entry, text, sizeof text,
                                            &found, &h_errno);
    return problem ? "failed" : host_of(found);
  }
  if (IS("gethostbyaddr")) {
    struct hostent *entry = gethostbyaddr(&place.sin_addr, 4, AF_INET);
    return entry ? entry->h_name : hstrerror(h_errno);
  }
  if (IS("gethostbyaddr_r")) {
    struct hostent entry, *found = NULL;
    gethostbyaddr_r(&place.sin_addr, 4, AF_INET, &entry, text, sizeof text, &found, &h_errno);
    return found ? found->h_name : hstrerror(h_errno);
  }
  if (IS("res_search") || IS("res_query") || IS("res_nquery") || IS("res_nsearch")) {
    unsigned char *answer = (unsigned char *) text;
    struct __res_state state = {0};
    if (IS("res_nquery") || IS("res_nsearch")) res_ninit(&state);
    int size = IS("res_search") ? res_search(argument, 1, 15, answer, 512) : IS("res_query")
        ? res_query(argument, 1, 15, answer, 512)
             : IS("res_nquery") ? res_nquery(&state, argument, 1, 15, answer, 512) : res_nsearch(&state,
                 argument, 1, 15, answer, 512);
    if (size > 0) sprintf(text, "%d-answers", answer[7]);
    return size < 0 ? hstrerror(h_errno) : text;
  }
  if (!strncmp(name, "foreign_", 8)) { /* the program chooses the nameserver; nobody is at this one */
    unsigned char question[512], *answer = (unsigned char *) text;
    struct __res_state own = {0}, *state = strstr(name, "_n") ? &own : &_res;
    res_ninit(state);
    state->nscount = 1, state->nsaddr_list[0] = place_of("198.51.100.1:53");
    int m = res_mkquery(QUERY, argument, 1, 15, NULL, 0, NULL, question, sizeof question);
    int size = IS("foreign_query") ? res_query(argument, 1, 15, answer, 512)
        : IS("foreign_send") ? res_send(question, m, answer, 512)
        : IS("foreign_nquery") ? res_nquery(state, argument, 1, 15, answer, 512)
        : IS("foreign_nsearch") ? res_nsearch(state, argument, 1, 15, answer, 512)
        : res_nsend(state, question, m, answer, 512);
    if (size > 0) sprintf(text, "%d-answers", answer[7]);
    return size < 0 ? "failed" : text;
  }
  if (IS("rcmd")) return done(rcmd((char *[]) {(char *) argument}, 514, "ann", "ann", "date", NULL), "ok");
  if (IS("rresvport")) return done(rresvport(&(int) {1023}), "ok");
  if (IS("res_init")) return res_init() ? "failed" : "ok";
  if (IS("spf")) return !SPF_request_is_loopback ? "missing" : SPF_request_is_loopback(NULL) ? "yes" : "no";

  /* accounts */
  if (IS("getpwnam")) return entry_of(getpwnam(argument));
  if (IS("getpwuid")) return entry_of(getpwuid(getuid()));
  if (IS("getpwuid_of")) return entry_of(getpwuid(atoi(argument)));
  if (IS("getpwnam_r") || IS("getpwuid_r") || IS("narrow")) {
    static char room[4096];
    struct passwd entry, *found = NULL;
    size_t size = IS("narrow") ? 5 : sizeof room;
    int problem = IS("getpwuid_r") ? getpwuid_r(getuid(), &entry, room, size, &found) : getpwnam_r(argument,
        &entry, room, size, &found);
    return problem ? strerrorname_np(problem) : entry_of(found);
  }
  if (IS("getlogin")) return getlogin() ? getlogin() : "none";
  if (IS("getlogin_r")) return getlogin_r(text, 200) ? "none" : text;

  /* files */
  if (IS("fopen")) return first_line(fopen(argument, "r"));
  if (IS("fopen64")) return first_line(fopen64(argument, "r"));
  if (IS("open")) return first_line(fdopen(open(argument, O_RDONLY), "r"));
  if (IS("open64")) return first_line(fdopen(open64(argument, O_RDONLY), "r"));
  if (IS("openat")) return first_line(fdopen(openat(AT_FDCWD, argument, O_RDONLY), "r"));
  if (IS("openat64")) return first_line(fdopen(openat64(AT_FDCWD, argument, O_RDONLY), "r"));
  if (IS("create")) {
    mode_t old = umask(0);
    int file = open(argument, O_CREAT | O_WRONLY, 0640);
    umask(old);
    return done(file, "ok");
  }

  /* time */
  if (IS("time")) return sprintf(text, "%ld", (long) time(NULL)), text;
  if (IS("gettimeofday")) return gettimeofday(&tv, NULL), sprintf(text, "%ld", (long) tv.tv_sec), text;
  if (IS("timespec_get")) return timespec_get(&now, TIME_UTC), sprintf(text, "%ld", (long) now.tv_sec), text;
  if (IS("clock")) return clock_gettime(atoi(argument), &now), sprintf(text, "%lld",
      now.tv_sec * 1000000000LL + now.tv_nsec), text;
  if (IS("short_timer")) return done(setitimer(ITIMER_REAL, &(struct itimerval) {.it_value = {0,
      atoi(argument)}}, NULL), "ok");
  if (IS("nap")) return usleep(atoi(argument)), "ok";

  /* programs */
  if (IS("run")) return run(argument);
  if (IS("stdin")) return fgets(text, sizeof text, stdin) ? "ok" : "end";
  return "what?";
}

static void *call_all(void *words)
{
  for (char **word = words; *word; word++) {
    if (!strcmp(*word, "thread")) {
      pthread_t thread;
      pthread_create(&thread, NULL, call_all, word + 1);
      pthread_join(thread, NULL);
      break;
    }
    const char *answer = call(*word);
    printf("%s\n", answer);
    fflush(stdout);
  }
  return NULL;
}

int main(int argc, char **argv)
{
  (void) argc;
  self = realpath("/proc/self/exe", NULL);
  signal(SIGALRM, SIG_IGN);
  if (argv[1] && !strcmp(argv[1], "environment")) {
    const char *net = getenv("LABNET"), *preload = getenv("LD_PRELOAD"), *address = getenv("LABADDR");
    struct utsname about;
    uname(&about);
    printf("%s %s %s %s\n", net ? "labnet" : "none", address ? address : "none", about.nodename, preload
        && strstr(preload, ".so:") ? "both" : "one");
    return 0;
  }
  call_all(argv + 1);
  return 0;
}
