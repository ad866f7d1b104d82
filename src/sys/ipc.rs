//! System V message queues, as far as it takes to see whether they are shared (msgget(2)).

use nix::errno::Errno;

use super::result;

/// Makes the queue with this key.
///
/// # Errors
/// `EEXIST` where there is one.
pub fn make_queue(key: i32) -> Result<i32, Errno> {
    const MINE: i32 = 0o600;
    get(key, libc::IPC_CREAT | libc::IPC_EXCL | MINE)
}

/// The queue with this key.
///
/// # Errors
/// `ENOENT` where there is none.
pub fn find_queue(key: i32) -> Result<i32, Errno> {
    get(key, 0)
}

fn get(key: i32, flags: i32) -> Result<i32, Errno> {
    // SAFETY: msgget takes two integers.
    let id = result(unsafe { libc::msgget(key, flags) }.into())?;
    i32::try_from(id).map_err(|_| Errno::EOVERFLOW)
}

/// Removes a queue.
///
/// # Errors
/// `EPERM` where it is somebody else's.
pub fn remove_queue(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID reads no memory.
    result(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}
