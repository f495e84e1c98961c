//! What the machine, or what of it this process may use, has to offer.

use std::path::Path;

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Memory that this process can take in all, in bytes: the machine's, or less where the process's group or its address space
/// is limited.
#[must_use]
pub fn memory() -> u64 {
    let Ok(mut system) = System::new() else { return u64::MAX };
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    let machine = match system.total_memory() {
        // The system does not tell.
        0 => u64::MAX,
        total => total,
    };
    machine.min(group).min(address_space(&mut system))
}

/// What a limit such as `ulimit -v` leaves.
#[cfg(unix)]
fn address_space(system: &mut System) -> u64 {
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::As).current else {
        return u64::MAX;
    };
    let Ok(this) = sysinfo::get_current_pid() else { return limit };
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[this]), false, kind);
    limit.saturating_sub(system.process(this).map_or(0, sysinfo::Process::virtual_memory))
}

#[cfg(not(unix))]
fn address_space(_system: &mut System) -> u64 {
    u64::MAX
}

/// The name of the machine.
#[must_use]
pub fn name() -> String {
    System::host_name().unwrap_or_default()
}

/// The numbers of the processors that this process may run on.
#[must_use]
pub fn processors() -> Vec<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect();
    }
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// Bytes that are free where `path` is, or will be; none if the system does not tell.
#[cfg(unix)]
#[must_use]
pub fn disk(path: &Path) -> Option<u64> {
    let place = path.ancestors().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let system = place.filter(|p| p.exists()).find_map(|p| rustix::fs::statvfs(p).ok())?;
    // What the system keeps its own state in has no size at all.
    (system.f_blocks > 0).then(|| system.f_bavail.saturating_mul(system.f_frsize))
}

/// Bytes that are free where `path` is, or will be; none if the system does not tell.
#[cfg(not(unix))]
#[must_use]
pub fn disk(_path: &Path) -> Option<u64> {
    None
}

/// A number of bytes in the unit that suits it.
#[must_use]
pub fn bytes(count: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut power = 0;
    let mut value = count;
    while value >= 1024.0 && power + 1 < units.len() {
        value /= 1024.0;
        power += 1;
    }
    let number = match value {
        _ if value >= 1e4 => format!("{value:.1e}"),
        _ if value >= 10.0 || power == 0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    };
    format!("{number} {}", units[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells() {
        // No machine that builds this has less, and none has so much more.
        assert!((1 << 28..1 << 50).contains(&memory()), "{}", memory());
        assert!(disk(Path::new("a/folder/to/come")).is_none_or(|free| free < 1 << 60));
    }

    #[test]
    fn sizes_are_told_in_their_unit() {
        let told = [0.0, 1000.0, 1536.0, 5e6, 3e9, 4e14, 1e30].map(bytes);
        assert_eq!(told, ["0 bytes", "1000 bytes", "1.5 KiB", "4.8 MiB", "2.8 GiB", "364 TiB", "9.1e17 TiB"]);
    }
}
