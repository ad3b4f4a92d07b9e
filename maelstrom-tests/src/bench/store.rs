//! The folder that a run leaves behind: `store/lin-kv/TIME/`, with `store/latest` pointing there.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

/// How many runs may begin in the same millisecond before one of them fails.
const SAME_TIME_MAX: u32 = 1000;

/// Creates the folder of a run that begins now, points `latest` to it, and returns its path.
///
/// # Errors
/// The file system refuses.
pub fn create(root: &Path) -> io::Result<PathBuf> {
    let workload = Path::new("lin-kv");
    fs::create_dir_all(root.join(workload))?;
    let name = fresh_folder(&root.join(workload), "")?;
    let folder = root.join(workload).join(&name);
    fs::create_dir(folder.join("node-logs"))?;
    point_latest(root, &workload.join(&name))?;
    Ok(folder)
}

/// Creates a new folder, named by the prefix and the time, and returns its name.
///
/// # Errors
/// The file system refuses.
pub fn fresh_folder(parent: &Path, prefix: &str) -> io::Result<String> {
    let time = format!("{prefix}{}", timestamp(SystemTime::now()));
    let mut name = time.clone();
    let mut tries = 1;
    loop {
        match fs::create_dir(parent.join(&name)) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(error) if tries == SAME_TIME_MAX => return Err(error),
            Err(_) => {
                tries += 1;
                name = format!("{time}-{tries}");
            }
        }
    }
}

/// A link is replaced by renaming another one over it, so that `latest` is there all the time.
fn point_latest(root: &Path, target: &Path) -> io::Result<()> {
    let fresh = root.join(format!(".latest-{}", std::process::id()));
    remove_if_there(&fresh)?;
    std::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(&fresh, root.join("latest"))
}

/// Removes a file, if there is one.
///
/// # Errors
/// The file system refuses.
pub fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A time in UTC that sorts by name and is a fine file name, such as `20260722T091503.042Z`.
fn timestamp(time: SystemTime) -> String {
    // A clock before 1970 is wrong, but no reason to fail.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ms = since.subsec_millis();
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

/// The Gregorian date this many days after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let (mut year, mut month) = (1970_u64, 1);
    loop {
        let is_leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 => 28 + u64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
        (year, month) = (year + month / 12, month % 12 + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_right() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_655, (2026, 7, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
        let time = UNIX_EPOCH + Duration::from_millis(1_784_711_703_042);
        assert_eq!(timestamp(time), "20260722T091503.042Z");
    }

    #[test]
    fn latest_points_to_the_newest_run() {
        let name = format!("stdraft-store-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        for _ in 0..3 {
            let store = create(&root).expect("a folder");
            fs::write(store.join("results.json"), b"{}").expect("a file");
            let latest = fs::canonicalize(root.join("latest")).expect("a link");
            assert_eq!(latest, fs::canonicalize(store).expect("a folder"));
        }
        let runs = fs::read_dir(root.join("lin-kv")).expect("a folder").count();
        assert_eq!(runs, 3);
        fs::remove_dir_all(&root).expect("it can be removed");
    }
}
