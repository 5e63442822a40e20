//! Users and groups by an image's own passwd and group files.
//!
//! Pure text: the caller reads the files, from inside the rootfs and bounded ([`MAX_FILE`]).

use std::collections::BTreeSet;

/// The most of a passwd or group file that is looked at, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

/// Whom a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// Supplementary groups, sorted; the group itself is among them (CVE-2022-36109: without it a process could
    /// get round a file that its group may not touch by giving the group up).
    pub groups: Vec<u32>,
    /// The home directory; `/` without an entry.
    pub home: String,
}

/// A name that the files don't have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim_end().split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(Entry { name, uid, gid, home })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim_end().split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let gid = fields.next()?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Resolves `name|uid[:group|gid]` (empty: root) and further groups by name or number.
///
/// Numeric ids need no entry; a group given by hand stands alone, without the user's own others.
///
/// # Errors
/// A name has no entry.
pub fn resolve(user: &str, group_add: &[String], passwd: &str, group: &str) -> Result<User, UserError> {
    let (user, wanted_group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let named = entries(passwd).find(|entry| entry.name == user);
    let entry = named.or_else(|| entries(passwd).find(|entry| number == Some(entry.uid)));
    let (uid, mut gid, home) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => return Err(UserError::User(user.to_owned())),
    };
    let by_name = |name: &str| {
        let found = groups(group).find(|group| group.name == name).map(|group| group.gid);
        found.or_else(|| name.parse().ok()).ok_or_else(|| UserError::Group(name.to_owned()))
    };
    let mut extra = BTreeSet::new();
    match wanted_group.filter(|name| !name.is_empty()) {
        Some(name) => gid = by_name(name)?,
        None => {
            if let Some(entry) = &entry {
                let is_member =
                    |group: &Group<'_>| group.members.split(',').any(|member| member.trim() == entry.name);
                extra.extend(groups(group).filter(is_member).map(|group| group.gid));
            }
        }
    }
    for name in group_add {
        extra.insert(by_name(name)?);
    }
    extra.insert(gid);
    let home = if home.is_empty() { "/" } else { home };
    Ok(User { uid, gid, groups: extra.into_iter().collect(), home: home.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/var/www:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:40:www,root\nextra:x:41:\n";

    fn user(text: &str) -> Result<User, UserError> {
        resolve(text, &[], PASSWD, GROUP)
    }

    #[test]
    fn names_and_numbers_find_their_entry_and_groups() {
        let by_name = user("www").expect("name");
        assert_eq!((by_name.uid, by_name.gid, by_name.home.as_str()), (33, 34, "/var/www"));
        assert_eq!(by_name.groups, [34, 40]);
        assert_eq!(user("33").expect("number"), by_name);
        assert_eq!(user("").expect("root").home, "/root");
    }

    #[test]
    fn a_number_without_an_entry_is_taken_as_it_is() {
        assert_eq!(user("77").expect("number"), User { uid: 77, gid: 0, groups: vec![0], home: "/".into() });
        assert_eq!(resolve("", &[], "", "").expect("empty image").uid, 0);
    }

    #[test]
    fn a_group_given_by_hand_stands_alone() {
        let user = user("www:extra").expect("group");
        assert_eq!((user.gid, user.groups), (41, vec![41]));
        let added = resolve("5:6", &["logs".into(), "99".into()], PASSWD, GROUP).expect("groups");
        assert_eq!((added.gid, added.groups), (6, vec![6, 40, 99]));
    }

    #[test]
    fn missing_names_are_errors_in_dockers_words() {
        let text = user("nobody2").expect_err("user").to_string();
        assert_eq!(text, "unable to find user nobody2: no matching entries in passwd file");
        let text = user("www:none").expect_err("group").to_string();
        assert_eq!(text, "unable to find group none: no matching entries in group file");
    }
}
