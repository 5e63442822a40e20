//! Volumes of the local driver.
//!
//! ```text
//! DATA/volumes/NAME/_data         what containers see
//! DATA/volumes/NAME/volume.json   labels, options, time of creation; written before _data is made
//! ```
//! A directory without a record (made by an older daemon, or by hand) is a volume without labels.

mod local;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    events::Events,
    filters::Filters,
    id, timestamp,
};

/// The label of a volume that was made for one container.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Asks for the ids of the containers that use a volume.
pub type Users = Arc<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// One volume, as inspect shows it. Field order is docker's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Volume {
    pub created_at: String,
    pub driver: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub mountpoint: PathBuf,
    pub name: String,
    pub options: Option<BTreeMap<String, String>>,
    pub scope: String,
}

/// What is on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    created: i64,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
}

/// `POST /volumes/create`.
#[derive(Debug, Clone, Default)]
pub struct Create {
    /// Empty: a random one.
    pub name: String,
    /// Empty: local.
    pub driver: String,
    /// `type`, `o`, `device`.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// The volumes of one daemon. Cheap to clone. Calls are short and block on the disk.
#[derive(Clone)]
pub struct Volumes {
    root: PathBuf,
    users: Users,
    events: Events,
    change: Arc<Mutex<()>>,
}

impl Volumes {
    /// The volumes under `DATA/volumes`.
    ///
    /// # Errors
    /// The directory can't be made.
    pub fn open(data_root: &Path, users: Users, events: Events) -> Result<Self> {
        let root = data_root.join("volumes");
        fs::create_dir_all(&root)
            .map_err(|source| Error::caused(format!("create {}", root.display()), source))?;
        Ok(Volumes { root, users, events, change: Arc::default() })
    }

    /// Creates a volume, or answers the one of that name.
    ///
    /// # Errors
    /// A bad name or option (400), an unknown driver (404).
    pub fn create(&self, request: Create) -> Result<Volume> {
        let name = if request.name.is_empty() { id::random() } else { request.name };
        check_name(&name)?;
        if !matches!(request.driver.as_str(), "" | "local") {
            let driver = request.driver;
            return Err(Error::not_found(format!(
                "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        local::check(&request.options).map_err(|why| Error::invalid(format!("create {name}: {why}")))?;
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(found) = self.get(&name) {
            return Ok(found);
        }
        let record = Record { created: timestamp::now(), labels: request.labels, options: request.options };
        self.make(&name, &record).map_err(|source| Error::caused(format!("create volume {name}"), source))?;
        self.tell("create", &name);
        self.get(&name)
    }

    fn make(&self, name: &str, record: &Record) -> io::Result<()> {
        let directory = self.root.join(name);
        fs::create_dir_all(&directory)?;
        let (file, new) = (directory.join("volume.json"), directory.join("volume.json.new"));
        fs::write(&new, serde_json::to_vec(record)?)?;
        fs::rename(new, file)?;
        fs::create_dir_all(directory.join("_data"))
    }

    /// A volume by name.
    ///
    /// # Errors
    /// 404.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let directory = self.root.join(name);
        // A name is one path element; anything else can't be a volume.
        if check_name(name).is_err() || !directory.join("_data").is_dir() {
            return Err(Error::not_found(format!("get {name}: no such volume")));
        }
        let record = self.record(name);
        Ok(Volume {
            created_at: timestamp::rfc3339(Some(record.created)),
            driver: "local".into(),
            labels: (!record.labels.is_empty()).then_some(record.labels),
            mountpoint: directory.join("_data"),
            name: name.to_owned(),
            options: (!record.options.is_empty()).then_some(record.options),
            scope: "local".into(),
        })
    }

    fn record(&self, name: &str) -> Record {
        let directory = self.root.join(name);
        let read = fs::read(directory.join("volume.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_else(|| {
            let made =
                fs::metadata(&directory).and_then(|data| data.modified()).map_or(0, timestamp::from_system);
            Record { created: made, ..Record::default() }
        })
    }

    /// The volumes that the filters let through, by name.
    ///
    /// # Errors
    /// An unknown filter.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>> {
        filters.only(&["dangling", "driver", "label", "label!", "name"])?;
        let dangling = filters.flag("dangling")?;
        let entries = fs::read_dir(&self.root)
            .map_err(|source| Error::caused(format!("list {}", self.root.display()), source))?;
        let mut volumes: Vec<Volume> = entries
            .flatten()
            .filter_map(|entry| self.get(entry.file_name().to_str()?).ok())
            .filter(|volume| {
                filters.any("name", |part| volume.name.contains(part.as_str()))
                    && filters.any("driver", |driver| driver == "local")
                    && filters.labels(&label_map(volume))
                    && dangling.is_none_or(|wanted| (self.users)(&volume.name).is_empty() == wanted)
            })
            .collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Removes a volume and its content.
    ///
    /// # Errors
    /// 404 unless `force`, 409 while a container uses it.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        match self.get(name) {
            Ok(_) => {}
            Err(_) if force => return Ok(()),
            Err(error) => return Err(error),
        }
        let users = (self.users)(name);
        if !users.is_empty() {
            return Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", "))));
        }
        self.delete(name)
    }

    /// Out of sight by a rename first, so that a killed daemon leaves no half volume.
    fn delete(&self, name: &str) -> Result<()> {
        local::unmount(&self.root.join(name).join("_data"));
        let gone = self.root.join(format!(".removed-{name}"));
        fs::rename(self.root.join(name), &gone)
            .and_then(|()| fs::remove_dir_all(&gone))
            .map_err(|source| Error::caused(format!("remove {name}"), source))?;
        self.tell("destroy", name);
        Ok(())
    }

    /// Removes volumes that no container uses: anonymous ones, or all.
    ///
    /// # Errors
    /// An unknown filter.
    pub fn prune(&self, filters: &Filters, all: bool) -> Result<(Vec<String>, u64)> {
        filters.only(&["all", "label", "label!"])?;
        let all = filters.flag("all")?.unwrap_or(all);
        let (mut removed, mut freed) = (Vec::new(), 0);
        for volume in self.list(&Filters::default())? {
            let anonymous = volume.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS));
            if (all || anonymous)
                && filters.labels(&label_map(&volume))
                && (self.users)(&volume.name).is_empty()
            {
                let size = local::size(&volume.mountpoint);
                match self.remove(&volume.name, false) {
                    Ok(()) => {
                        freed += size;
                        removed.push(volume.name);
                    }
                    Err(error) => {
                        tracing::warn!(volume = volume.name, error = error.full_text(), "not pruned")
                    }
                }
            }
        }
        Ok((removed, freed))
    }

    /// Every volume with the bytes that it takes and the number of containers that use it.
    ///
    /// # Errors
    /// The volumes can't be listed.
    pub fn usage(&self) -> Result<Vec<(Volume, u64, usize)>> {
        let volumes = self.list(&Filters::default())?.into_iter();
        let measured = volumes.map(|volume| {
            let (size, users) = (local::size(&volume.mountpoint), (self.users)(&volume.name).len());
            (volume, size, users)
        });
        Ok(measured.collect())
    }

    /// Makes the volume ready for a container: it exists, and what its options name is mounted. The path is
    /// what to bind.
    ///
    /// # Errors
    /// The device can't be mounted.
    pub fn attach(&self, name: &str, anonymous: bool) -> Result<PathBuf> {
        let labels =
            if anonymous { BTreeMap::from([(ANONYMOUS.to_owned(), String::new())]) } else { BTreeMap::new() };
        let volume = self.create(Create { name: name.to_owned(), labels, ..Create::default() })?;
        if let Some(options) = &volume.options {
            let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
            local::mount(&volume.mountpoint, options).map_err(|source| {
                Error::system(format!(
                    "error while mounting volume '{}': {source}",
                    volume.mountpoint.display()
                ))
            })?;
        }
        Ok(volume.mountpoint)
    }

    /// Unmounts what the options had mounted; call it when no running container uses the volume any more.
    pub fn detach(&self, name: &str) {
        if check_name(name).is_ok() && !self.record(name).options.is_empty() {
            local::unmount(&self.root.join(name).join("_data"));
        }
    }

    fn tell(&self, action: &str, name: &str) {
        let attributes = HashMap::from([("driver".to_owned(), "local".to_owned())]);
        self.events.publish("volume", action, name, attributes);
    }
}

fn label_map(volume: &Volume) -> HashMap<String, String> {
    volume.labels.clone().unwrap_or_default().into_iter().collect()
}

fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !good {
        return Err(Error::invalid(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    if name.len() < 2 || name.len() > 255 {
        return Err(Error::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(used: &'static str) -> (tempfile::TempDir, Volumes) {
        let directory = tempfile::tempdir().unwrap();
        let users: Users = Arc::new(move |name| if name == used { vec!["c".repeat(64)] } else { Vec::new() });
        let volumes = Volumes::open(directory.path(), users, Events::default()).unwrap();
        (directory, volumes)
    }

    fn named(name: &str) -> Create {
        Create { name: name.into(), ..Create::default() }
    }

    #[test]
    fn a_volume_is_created_once_and_its_labels_stay() {
        let (_directory, volumes) = volumes("");
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        volumes.create(Create { labels: labels.clone(), ..named("data") }).unwrap();
        let again = volumes.create(named("data")).unwrap();
        assert_eq!(again.labels, Some(labels));
        assert!(again.mountpoint.is_dir());
        assert_eq!(volumes.list(&Filters::parse(Some(r#"{"label":["a=1"]}"#)).unwrap()).unwrap().len(), 1);
        volumes.remove("data", false).unwrap();
        assert_eq!(volumes.remove("data", false).unwrap_err().to_string(), "get data: no such volume");
        volumes.remove("data", true).unwrap();
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        let (_directory, volumes) = volumes("used");
        let text = |request| volumes.create(request).unwrap_err().to_string();
        assert!(text(named("bad name")).contains("includes invalid characters for a local volume name"));
        assert!(text(named("../up")).contains("includes invalid characters"));
        assert!(text(named("a")).contains("volume name is too short"));
        assert_eq!(
            text(Create { driver: "nosuch".into(), ..named("dd") }),
            "create dd: error looking up volume plugin nosuch: plugin \"nosuch\" not found"
        );
        let options = BTreeMap::from([("bogus".to_owned(), String::new())]);
        assert_eq!(text(Create { options, ..named("ee") }), "create ee: invalid option: \"bogus\"");
        volumes.create(named("used")).unwrap();
        let used = volumes.remove("used", true).unwrap_err().to_string();
        assert_eq!(used, format!("remove used: volume is in use - [{}]", "c".repeat(64)));
    }

    #[test]
    fn prune_takes_unused_anonymous_volumes_and_all_only_when_asked() {
        let (_directory, volumes) = volumes("used");
        volumes.attach("used", true).unwrap();
        volumes.attach("unused", true).unwrap();
        volumes.create(named("named")).unwrap();
        assert_eq!(volumes.prune(&Filters::default(), false).unwrap().0, ["unused"]);
        assert_eq!(volumes.prune(&Filters::default(), true).unwrap().0, ["named"]);
        assert!(volumes.get("used").is_ok());
    }

    #[test]
    fn options_are_mounted_at_first_use_and_unmounted_after_the_last() {
        let (_directory, volumes) = volumes("");
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,noexec")];
        let options = options.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        volumes.create(Create { options, ..named("fast") }).unwrap();
        let path = volumes.attach("fast", false).unwrap();
        volumes.attach("fast", false).unwrap();
        let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
        let line = format!("tmpfs {} tmpfs", path.display());
        assert_eq!(mounts().lines().filter(|mount| mount.starts_with(&line)).count(), 1);
        volumes.detach("fast");
        assert!(!mounts().contains(&line));
    }
}
