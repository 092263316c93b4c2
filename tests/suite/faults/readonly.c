/* A file system that may turn read-only: loaded before the C library, it refuses what would change a file as the kernel
 * does (EROFS), for as long as the file that MATRIKEL_TEST_READ_ONLY names exists. Only regular files that hold a
 * database are concerned, so that the log of the server still goes out. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_refused(void) {
    const char *flag = getenv("MATRIKEL_TEST_READ_ONLY");
    return flag != NULL && access(flag, F_OK) == 0;
}

static int is_database(const char *path) { return strstr(path, ".db") != NULL; }

static int holds_database(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_database(path);
}

static int refuse(int file) {
    if (!is_refused() || !holds_database(file)) return 0;
    errno = EROFS;
    return 1;
}

#define NEXT(name) (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return refuse(file) ? -1 : (NEXT(pwrite))(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    return refuse(file) ? -1 : (NEXT(pwrite64))(file, bytes, count, at);
}

ssize_t write(int file, const void *bytes, size_t count) {
    return refuse(file) ? -1 : (NEXT(write))(file, bytes, count);
}

int ftruncate(int file, off_t length) { return refuse(file) ? -1 : (NEXT(ftruncate))(file, length); }

int ftruncate64(int file, off64_t length) { return refuse(file) ? -1 : (NEXT(ftruncate64))(file, length); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (is_refused() && is_database(path) && (flags & (O_WRONLY | O_RDWR | O_CREAT))) {
        errno = EROFS;
        return -1;
    }
    return (NEXT(open64))(path, flags, mode);
}
