//! io.*: weights (BFQ's where that is the scheduler) and io.max.

use std::path::Path;

use oci_spec::runtime::LinuxBlockIo;

use crate::error::Result;
use crate::files;
use crate::resources::blkio_to_io_weight;
use crate::v2::write_setting;

pub(crate) fn apply(dir: &Path, io: &LinuxBlockIo) -> Result<()> {
    let bfq = dir.join("io.bfq.weight").exists();
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        if bfq {
            files::write(dir, "io.bfq.weight", &weight.to_string())?;
        } else {
            let line = format!("default {}", blkio_to_io_weight(weight));
            write_setting(dir, "io.weight", &line, "linux.resources.blockIO.weight")?;
        }
    }
    for device in io.weight_device().iter().flatten() {
        let Some(weight) = device.weight().filter(|w| *w != 0) else { continue };
        let (major, minor) = (device.major(), device.minor());
        let (file, weight) = if bfq {
            ("io.bfq.weight", u64::from(weight))
        } else {
            ("io.weight", blkio_to_io_weight(weight))
        };
        let line = format!("{major}:{minor} {weight}");
        write_setting(dir, file, &line, "linux.resources.blockIO.weightDevice")?;
    }
    let throttles = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for d in devices.iter().flatten() {
            let line = format!("{}:{} {key}={}", d.major(), d.minor(), d.rate());
            write_setting(dir, "io.max", &line, "linux.resources.blockIO.throttle")?;
        }
    }
    Ok(())
}
