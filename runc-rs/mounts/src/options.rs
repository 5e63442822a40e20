//! Option strings to what the system calls take. Pure.
//!
//! Later options win over earlier ones. `r`-prefixed ones (`rro`, `rnosuid`, …) are for the whole tree and
//! need mount_setattr(2). What is no option of the mount itself is data for the file system.

/// `MS_*` bits, as mount(2) takes them.
pub type Flags = u64;

/// `MOUNT_ATTR_*` bits to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear. The access time is one field: changing it clears the whole first.
    pub clear: u64,
}

impl Attributes {
    /// `MOUNT_ATTR_RDONLY`.
    pub const RDONLY: u64 = 0x1;
    /// The access time's field: one of several values, not bits.
    pub const ATIME: u64 = 0x70;

    /// Read-only, and nothing else.
    pub fn read_only() -> Self {
        Self { set: Self::RDONLY, clear: 0 }
    }

    /// Without some of the bits to be set.
    #[must_use]
    pub fn without(self, bits: u64) -> Self {
        Self { set: self.set & !bits, clear: self.clear }
    }

    /// Whether the mount is asked to be read-only.
    pub fn is_read_only(self) -> bool {
        self.set & Self::RDONLY != 0
    }

    /// Nothing to change.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn add(&mut self, set: u64, clear: u64) {
        self.set = self.set & !clear | set;
        self.clear = self.clear & !set | clear;
    }
}

/// Whose ids a mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdMap {
    /// `idmap`: this mount.
    One,
    /// `ridmap`: and those below.
    Tree,
}

/// Options, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// For mount(2), without propagation.
    pub flags: Flags,
    /// The mount's own attributes, as mount_setattr(2) names them.
    pub attributes: Attributes,
    /// The same for the whole tree.
    pub recursive: Attributes,
    /// `MS_PRIVATE`, … with or without `MS_REC`, in the order given.
    pub propagation: Vec<Flags>,
    /// Mapped ids.
    pub id_map: Option<IdMap>,
    /// `tmpcopyup`: a tmpfs begins with what it covers.
    pub copy_up: bool,
    /// For the file system.
    pub data: Vec<String>,
}

const ATTR_RDONLY: u64 = Attributes::RDONLY;
const ATTR_NOSUID: u64 = 0x2;
const ATTR_NODEV: u64 = 0x4;
const ATTR_NOEXEC: u64 = 0x8;
const ATTR_ATIME: u64 = Attributes::ATIME;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_NODIRATIME: u64 = 0x80;
const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;
const MS_NOSYMFOLLOW: Flags = 256;

/// Name; mount(2) flag; whether it is cleared; attributes to set and clear.
type Row = (&'static str, Flags, bool, u64, u64);

/// Options that are attributes of the mount.
const ATTRIBUTES: &[Row] = &[
    ("ro", libc::MS_RDONLY, false, ATTR_RDONLY, 0),
    ("rw", libc::MS_RDONLY, true, 0, ATTR_RDONLY),
    ("nosuid", libc::MS_NOSUID, false, ATTR_NOSUID, 0),
    ("suid", libc::MS_NOSUID, true, 0, ATTR_NOSUID),
    ("nodev", libc::MS_NODEV, false, ATTR_NODEV, 0),
    ("dev", libc::MS_NODEV, true, 0, ATTR_NODEV),
    ("noexec", libc::MS_NOEXEC, false, ATTR_NOEXEC, 0),
    ("exec", libc::MS_NOEXEC, true, 0, ATTR_NOEXEC),
    ("nodiratime", libc::MS_NODIRATIME, false, ATTR_NODIRATIME, 0),
    ("diratime", libc::MS_NODIRATIME, true, 0, ATTR_NODIRATIME),
    ("noatime", libc::MS_NOATIME, false, ATTR_NOATIME, ATTR_ATIME),
    ("atime", libc::MS_NOATIME, true, 0, ATTR_ATIME),
    ("relatime", libc::MS_RELATIME, false, 0, ATTR_ATIME),
    ("norelatime", libc::MS_RELATIME, true, 0, ATTR_ATIME),
    ("strictatime", libc::MS_STRICTATIME, false, ATTR_STRICTATIME, ATTR_ATIME),
    ("nostrictatime", libc::MS_STRICTATIME, true, 0, ATTR_ATIME),
    ("nosymfollow", MS_NOSYMFOLLOW, false, ATTR_NOSYMFOLLOW, 0),
    ("symfollow", MS_NOSYMFOLLOW, true, 0, ATTR_NOSYMFOLLOW),
];

/// Options that are flags of the call or of the file system.
const FLAGS: &[(&str, Flags, bool)] = &[
    ("bind", libc::MS_BIND, false),
    ("rbind", libc::MS_BIND | libc::MS_REC, false),
    ("remount", libc::MS_REMOUNT, false),
    ("sync", libc::MS_SYNCHRONOUS, false),
    ("async", libc::MS_SYNCHRONOUS, true),
    ("dirsync", libc::MS_DIRSYNC, false),
    ("mand", libc::MS_MANDLOCK, false),
    ("nomand", libc::MS_MANDLOCK, true),
    ("iversion", libc::MS_I_VERSION, false),
    ("noiversion", libc::MS_I_VERSION, true),
    ("lazytime", libc::MS_LAZYTIME, false),
    ("nolazytime", libc::MS_LAZYTIME, true),
    ("silent", libc::MS_SILENT, false),
    ("loud", libc::MS_SILENT, true),
    ("acl", libc::MS_POSIXACL, false),
    ("noacl", libc::MS_POSIXACL, true),
    ("defaults", 0, false),
];

const PROPAGATION: &[(&str, Flags)] = &[
    ("private", libc::MS_PRIVATE),
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("unbindable", libc::MS_UNBINDABLE),
    ("rprivate", libc::MS_PRIVATE | libc::MS_REC),
    ("rshared", libc::MS_SHARED | libc::MS_REC),
    ("rslave", libc::MS_SLAVE | libc::MS_REC),
    ("runbindable", libc::MS_UNBINDABLE | libc::MS_REC),
];

/// Flags that fsconfig(2) takes as words of the file system.
const SUPERBLOCK: Flags = libc::MS_SYNCHRONOUS | libc::MS_DIRSYNC | libc::MS_MANDLOCK | libc::MS_LAZYTIME;

/// A propagation's word as `MS_*`.
pub fn propagation(name: &str) -> Option<Flags> {
    PROPAGATION.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Every word that [`Options::parse`] doesn't take for data, sorted.
pub fn known() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|row| row.0);
    let plain =
        attributes.clone().chain(FLAGS.iter().map(|row| row.0)).chain(PROPAGATION.iter().map(|row| row.0));
    let plain = plain.chain(["idmap", "ridmap", "tmpcopyup"]).map(str::to_owned);
    let mut all: Vec<String> = plain.chain(attributes.map(|name| format!("r{name}"))).collect();
    all.sort_unstable();
    all
}

impl Options {
    /// Never fails: an unknown word is data, and the file system judges it.
    pub fn parse<S: AsRef<str>>(options: &[S]) -> Self {
        let mut out = Self::default();
        for option in options {
            out.add(option.as_ref());
        }
        out
    }

    fn add(&mut self, name: &str) {
        let attribute = |name: &str| ATTRIBUTES.iter().find(|row| row.0 == name);
        if let Some((_, flag, cleared, set, clear)) = attribute(name) {
            self.attributes.add(*set, *clear);
            self.change(*flag, *cleared);
        } else if let Some((_, flag, cleared)) = FLAGS.iter().find(|row| row.0 == name) {
            self.change(*flag, *cleared);
        } else if let Some(flag) = propagation(name) {
            self.propagation.push(flag);
        } else if let Some((_, _, _, set, clear)) = name.strip_prefix('r').and_then(attribute) {
            self.recursive.add(*set, *clear);
        } else {
            match name {
                "" => {}
                "idmap" => self.id_map = Some(IdMap::One),
                "ridmap" => self.id_map = Some(IdMap::Tree),
                "tmpcopyup" => self.copy_up = true,
                _ => self.data.push(name.to_owned()),
            }
        }
    }

    fn change(&mut self, flag: Flags, cleared: bool) {
        if cleared { self.flags &= !flag } else { self.flags |= flag }
    }

    /// Whether it is a bind mount.
    pub fn is_bind(&self) -> bool {
        self.flags & libc::MS_BIND != 0
    }

    /// The data as one string, separated by commas.
    pub fn data(&self) -> String {
        self.data.join(",")
    }

    /// What the file system is told by fsconfig(2): its own options, and flags that are words there.
    pub fn superblock(&self) -> Vec<String> {
        let set = |row: &&(&'static str, Flags, bool)| !row.2 && row.1 & SUPERBLOCK & self.flags != 0;
        let words = FLAGS.iter().filter(set).map(|row| row.0.to_owned());
        words.chain(self.data.iter().cloned()).collect()
    }

    /// Back to strings that parse to the same.
    pub fn to_strings(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut rest = self.flags;
        // rbind before bind: the longer one covers the shorter.
        let named = FLAGS.iter().rev().filter(|r| !r.2 && r.1 != 0).map(|r| (r.0, r.1));
        let named = named.chain(ATTRIBUTES.iter().filter(|r| !r.2).map(|r| (r.0, r.1)));
        for (name, flag) in named {
            if rest & flag == flag {
                out.push(name.to_owned());
                rest &= !flag;
            }
        }
        for (name, _, cleared, set, clear) in ATTRIBUTES {
            // Of the words for the default access time one is enough.
            let relative = *set == 0 && *clear == ATTR_ATIME;
            if relative && *name != "relatime" {
                continue;
            }
            let says = |a: Attributes| {
                let default_time = !relative || a.set & ATTR_ATIME == 0;
                a.set & set == *set && a.clear & clear == *clear && default_time
            };
            if *cleared && says(self.attributes) {
                out.push((*name).to_owned());
            }
            if says(self.recursive) {
                out.push(format!("r{name}"));
            }
        }
        for flag in &self.propagation {
            out.extend(PROPAGATION.iter().find(|row| row.1 == *flag).map(|row| row.0.to_owned()));
        }
        out.extend(self.id_map.map(|m| if m == IdMap::One { "idmap" } else { "ridmap" }.to_owned()));
        if self.copy_up {
            out.push("tmpcopyup".to_owned());
        }
        out.extend(self.data.iter().cloned());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_apart() {
        let options =
            Options::parse(&["rbind", "ro", "nosuid", "rprivate", "rro", "mode=755", "size=1m", "idmap"]);
        assert_eq!(options.flags, libc::MS_BIND | libc::MS_REC | libc::MS_RDONLY | libc::MS_NOSUID);
        assert_eq!(options.recursive, Attributes { set: ATTR_RDONLY, clear: 0 });
        assert_eq!(options.propagation, [libc::MS_PRIVATE | libc::MS_REC]);
        assert_eq!((options.data().as_str(), options.id_map), ("mode=755,size=1m", Some(IdMap::One)));
        assert!(options.is_bind());
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let options = Options::parse(&["ro", "rw", "noatime", "strictatime"]);
        assert_eq!(options.flags & libc::MS_RDONLY, 0);
        assert_eq!(options.attributes.clear & ATTR_RDONLY, ATTR_RDONLY);
        assert_eq!(options.attributes.set & ATTR_ATIME, ATTR_STRICTATIME);
    }

    #[test]
    fn every_option_comes_back_as_itself() {
        let all = ATTRIBUTES.iter().map(|r| r.0.to_owned());
        let recursive = ATTRIBUTES.iter().map(|r| format!("r{}", r.0));
        let rest = FLAGS.iter().map(|r| r.0).chain(PROPAGATION.iter().map(|r| r.0)).map(str::to_owned);
        for name in
            all.chain(recursive).chain(rest).chain(["idmap".into(), "ridmap".into(), "tmpcopyup".into()])
        {
            let once = Options::parse(&[&name]);
            let again = Options::parse(&once.to_strings());
            assert_eq!(
                (again.flags, &again.propagation, again.recursive),
                (once.flags, &once.propagation, once.recursive),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_systems_flags_are_words_for_it_and_the_calls_are_not() {
        let options = Options::parse(&["sync", "silent", "iversion", "lazytime", "ro", "size=1m"]);
        assert_eq!(options.superblock(), ["sync", "lazytime", "size=1m"]);
    }

    #[test]
    fn words_that_only_look_like_options_are_data() {
        assert_eq!(Options::parse(&["rubbish", "ro=1", "lowerdir=/a:/b"]).data.len(), 3);
    }
}
