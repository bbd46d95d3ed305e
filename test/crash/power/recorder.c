/*
 * Preloaded into a process, writes down what it does to the files of one folder, in the order in which it was done:
 * every write with its bytes, every truncation, sync, creation, renaming and deletion.
 *
 * RECORD_FOLDER is the folder, RECORD_LOG the log. A log entry is the struct below and then `length` bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 4096
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct entry {
  int32_t what;
  int32_t file;
  int64_t offset;
  int64_t length;
};

static int log_file = -1;
static const char *folder;
static char recorded[MOST_FILES];
/* Held over the call and its entry, so that the log has the order in which things happened. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void record(char what, int file, int64_t offset, const void *bytes, size_t length) {
  struct entry entry = {what, file, offset, (int64_t)length};
  struct iovec parts[] = {{&entry, sizeof entry}, {(void *)bytes, length}};
  if (writev(log_file, parts, 2) != (ssize_t)(sizeof entry + length)) {
    perror("the recorder's log");
    abort();
  }
}

__attribute__((constructor)) static void begin(void) {
  folder = getenv("RECORD_FOLDER");
  const char *log_path = getenv("RECORD_LOG");
  if (folder == NULL || log_path == NULL) return;
  log_file = REAL(open)(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_file >= 0) record('B', -1, 0, "", 0);
}

/* The -shm file is an index in memory that SQLite makes anew, so what is in it after a power cut does not matter. */
static int concerns(const char *path) {
  if (log_file < 0) return 0;
  size_t length = strlen(folder), all = strlen(path);
  if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != 0)) return 0;
  return all < 4 || strcmp(path + all - 4, "-shm") != 0;
}

static int is_recorded(int file) { return file >= 0 && file < MOST_FILES && recorded[file]; }

static int opened(int file, const char *path, int flags) {
  if (file < 0 || file >= MOST_FILES || !concerns(path)) return file;
  recorded[file] = 1;
  record('O', file, flags & O_CREAT ? 1 : 0, path, strlen(path));
  if (flags & O_TRUNC) record('T', file, 0, "", 0);
  return file;
}

#define OPEN(name)                                           \
  int name(const char *path, int flags, ...) {               \
    va_list rest;                                            \
    va_start(rest, flags);                                   \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                            \
    pthread_mutex_lock(&lock);                               \
    int file = opened(REAL(name)(path, flags, mode), path, flags); \
    pthread_mutex_unlock(&lock);                             \
    return file;                                             \
  }
OPEN(open)
OPEN(open64)

#define CHANGE(call, entry_when_done)                        \
  do {                                                       \
    if (!is_recorded(file)) return call;                     \
    pthread_mutex_lock(&lock);                               \
    __typeof__(call) result = call;                          \
    if (result >= 0) entry_when_done;                        \
    pthread_mutex_unlock(&lock);                             \
    return result;                                           \
  } while (0)

ssize_t write(int file, const void *bytes, size_t length) {
  CHANGE(REAL(write)(file, bytes, length), record('W', file, lseek(file, 0, SEEK_CUR) - result, bytes, result));
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
  CHANGE(REAL(pwrite)(file, bytes, length, offset), record('W', file, offset, bytes, result));
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
  CHANGE(REAL(pwrite64)(file, bytes, length, offset), record('W', file, offset, bytes, result));
}
int ftruncate(int file, off_t length) { CHANGE(REAL(ftruncate)(file, length), record('T', file, length, "", 0)); }
int ftruncate64(int file, off64_t length) { CHANGE(REAL(ftruncate64)(file, length), record('T', file, length, "", 0)); }
int fsync(int file) { CHANGE(REAL(fsync)(file), record('S', file, 0, "", 0)); }
int fdatasync(int file) { CHANGE(REAL(fdatasync)(file), record('S', file, 0, "", 0)); }

int close(int file) {
  if (is_recorded(file)) recorded[file] = 0;
  return REAL(close)(file);
}

#define DELETE(name)                                         \
  int name(const char *path) {                               \
    if (!concerns(path)) return REAL(name)(path);            \
    pthread_mutex_lock(&lock);                               \
    int result = REAL(name)(path);                           \
    if (result == 0) record('U', -1, 0, path, strlen(path)); \
    pthread_mutex_unlock(&lock);                             \
    return result;                                           \
  }
DELETE(unlink)
DELETE(remove)

int rename(const char *from, const char *to) {
  if (!concerns(from) && !concerns(to)) return REAL(rename)(from, to);
  char both[2 * 4096];
  pthread_mutex_lock(&lock);
  int result = REAL(rename)(from, to);
  /* Its end and all between the two names is NUL. */
  int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
  if (result == 0) record('R', -1, 0, both, (size_t)length);
  pthread_mutex_unlock(&lock);
  return result;
}
