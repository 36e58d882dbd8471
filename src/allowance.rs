//! How much memory this process may have: what its cgroup or else the machine allows.
//!
//! Asked once at start. Only Linux tells; elsewhere a stated number has to do.

use std::{fs, path::Path, sync::OnceLock};

/// Where nothing can be found out.
const ASSUMED_BYTES: u64 = 1 << 30;

/// What no limit looks like to the older cgroups: the largest multiple of a page.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// How much memory the process may have, in bytes: the smallest limit of its cgroup and of those
/// above it, and never more than the machine has.
pub fn memory_bytes() -> u64 {
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text));
        let groups = read(Path::new("/proc/self/cgroup"));
        let cgroup = groups.and_then(|text| limit_of(&text, |path| read(Path::new(path))));
        machine.into_iter().chain(cgroup).min().unwrap_or(ASSUMED_BYTES)
    })
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The machine's memory, from `/proc/meminfo`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The smallest limit of the cgroups in `/proc/self/cgroup`, of which `file` reads files. Both
/// hierarchies are looked at: a machine may have either.
fn limit_of(cgroups: &str, file: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut limits = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be the host's, and only the root is there to be read.
        let mut group = path.trim_end_matches('/');
        loop {
            let limit = file(&format!("{root}{group}/{name}"));
            limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
            let Some(slash) = group.rfind('/') else { break };
            group = &group[..slash];
        }
    }
    limits.into_iter().filter(|limit| *limit < UNLIMITED_BYTES).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_on_the_way_up_holds() {
        let file = |path: &str| match path {
            "/sys/fs/cgroup/web/usher/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/web/memory.max" => Some("536870912\n".to_owned()),
            "/sys/fs/cgroup/memory.max" => Some("9223372036854771712\n".to_owned()),
            _ => None,
        };
        assert_eq!(limit_of("0::/web/usher\n", file), Some(512 << 20));
        assert_eq!(limit_of("0::/\n", file), None, "no limit");
        assert_eq!(limit_of("what is this\n", file), None);
    }

    #[test]
    fn the_older_cgroups_are_asked_by_their_controller() {
        let file = |path: &str| match path {
            "/sys/fs/cgroup/memory/memory.limit_in_bytes" => Some("268435456".to_owned()),
            _ => None,
        };
        let cgroups = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n";
        assert_eq!(limit_of(cgroups, file), Some(256 << 20));
    }

    #[test]
    fn the_machine_has_what_the_kernel_says() {
        let meminfo = "MemTotal:       24691328 kB\nMemFree: 1 kB\n";
        assert_eq!(total_of(meminfo), Some(24_691_328 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert!(memory_bytes() > 1 << 20, "this machine has some");
    }
}
