# A file system of a server whose clock is wrong: shows a directory, with all change and modification times shifted.
# Usage: served-with-another-clock.py SHOWN MOUNTPOINT SECONDS. Debian: python3-fusepy.
import errno
import os
import sys

try:
    from fusepy import FUSE, FuseOSError, Operations
except ImportError:
    from fuse import FUSE, FuseOSError, Operations

shown, mount_point, shift = sys.argv[1], sys.argv[2], float(sys.argv[3])


class Served(Operations):
    def __call__(self, op, path, *args):
        try:
            return super().__call__(op, shown + path, *args)
        except OSError as error:
            raise FuseOSError(error.errno or errno.EIO)

    def getattr(self, path, fh=None):
        stat = os.lstat(path)
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime")
        times = {name: getattr(stat, name) + shift for name in ("st_ctime", "st_mtime")}
        return {**{name: getattr(stat, name) for name in names}, **times}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(path)]

    def open(self, path, flags):
        return os.open(path, flags)

    def create(self, path, mode, fi=None):
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(path, length)

    def release(self, path, fh):
        os.close(fh)

    def rename(self, old, new):
        os.rename(old, shown + new)

    def link(self, target, source):
        os.link(shown + source, target)

    def mknod(self, path, mode, dev):
        os.mknod(path, mode, dev)

    def chmod(self, path, mode):
        os.chmod(path, mode)

    def chown(self, path, uid, gid):
        os.chown(path, uid, gid, follow_symlinks=False)

    def utimens(self, path, times=None):
        os.utime(path, times, follow_symlinks=False)

    def mkdir(self, path, mode):
        os.mkdir(path, mode)

    def rmdir(self, path):
        os.rmdir(path)

    def unlink(self, path):
        os.unlink(path)

    def statfs(self, path):
        stat = os.statvfs(path)
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize", "f_namemax")
        return {name: getattr(stat, name) for name in names}


FUSE(Served(), mount_point, foreground=True, nothreads=True, allow_other=True, use_ino=False)
