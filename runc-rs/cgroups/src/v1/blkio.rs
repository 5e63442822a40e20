//! blkio.*: weights (of the BFQ scheduler where CFQ is gone) and throttles.

use std::path::Path;

use oci_spec::runtime::LinuxBlockIo;

use crate::error::Result;
use crate::files;

pub(crate) fn apply<'a>(dir: impl Fn() -> Result<&'a Path>, io: &LinuxBlockIo) -> Result<()> {
    let weight_file = |dir: &Path, plain: &'static str, bfq: &'static str| {
        if dir.join(plain).exists() { plain } else { bfq }
    };
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        let dir = dir()?;
        files::write(dir, weight_file(dir, "blkio.weight", "blkio.bfq.weight"), &weight.to_string())?;
    }
    if let Some(weight) = io.leaf_weight().filter(|w| *w != 0) {
        files::write(dir()?, "blkio.leaf_weight", &weight.to_string())?;
    }
    for device in io.weight_device().iter().flatten() {
        let (dir, name) = (dir()?, format!("{}:{}", device.major(), device.minor()));
        if let Some(weight) = device.weight().filter(|w| *w != 0) {
            let file = weight_file(dir, "blkio.weight_device", "blkio.bfq.weight_device");
            files::write(dir, file, &format!("{name} {weight}"))?;
        }
        if let Some(weight) = device.leaf_weight().filter(|w| *w != 0) {
            files::write(dir, "blkio.leaf_weight_device", &format!("{name} {weight}"))?;
        }
    }
    let throttles = [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ];
    for (file, devices) in throttles {
        for d in devices.iter().flatten() {
            files::write(dir()?, file, &format!("{}:{} {}", d.major(), d.minor(), d.rate()))?;
        }
    }
    Ok(())
}
