//! Creating a container: validate → record → file system.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::{self, CreateRequest};
use super::record::{Intent, Record};
use super::rootfs::Rootfs;
use super::{Container, Containers, copy_up, image, mounts, names, security};
use crate::error::{Error, Kind, Result};

/// A container made.
#[derive(Debug)]
pub struct Created {
    /// The container.
    pub container: Arc<Container>,
    /// What the client should know.
    pub warnings: Vec<String>,
}

impl Containers {
    /// Creates a container; on failure nothing is left of it.
    ///
    /// # Errors
    /// 404 for a missing image, 409 for a taken name, 400 for what can't be right.
    pub async fn create(&self, mut request: CreateRequest, name: Option<&str>) -> Result<Created> {
        let name = name.filter(|name| !name.is_empty()).map(names::check).transpose()?;
        config::complete(&mut request, self.cgroup_v2, &self.config)?;
        security::check(&request.host_config)?;
        let runtime = request.host_config.runtime.get_or_insert_default();
        if runtime.is_empty() {
            self.runtimes.default_name().clone_into(runtime);
        }
        self.runtimes.resolve(runtime)?;
        self.check_joins(&request)?;
        let wanted = request.config.image.clone().unwrap_or_default();
        if wanted.is_empty() {
            return Err(Error::invalid("invalid reference format"));
        }
        let image = image::resolve(&self.client, &wanted).await?;
        config::merge_image(&mut request.config, &image.config)?;
        let (path, args) = config::command(&request.config)?;
        let volumes = request.config.volumes.clone().unwrap_or_default();
        let mounts = mounts::plan(&request.host_config, &volumes, &self.volumes_root(), &self.registry)?;
        let id = crate::id::random();
        if request.config.hostname.as_deref().is_none_or(str::is_empty)
            && request.host_config.uts_mode.as_deref() != Some("host")
        {
            request.config.hostname = Some(crate::id::short(&id).to_owned());
        }
        let mut warnings = Vec::new();
        let host_network = request.host_config.network_mode.as_deref() == Some("host");
        if host_network && request.host_config.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        let record = Record {
            name: String::new(),
            created: crate::timestamp::now(),
            path,
            args,
            config: request.config,
            host_config: request.host_config,
            endpoints: request.endpoints,
            image: image.reference,
            mounts,
            snapshotter: self.snapshotter.clone(),
            intent: Some(Intent::Create),
            id,
            ..Record::default()
        };
        self.check_networks(&record)?;
        let container = self.enter(record, name)?;
        let made = self.make(&container).await.and_then(|()| {
            container.update(|record| {
                record.intent = None;
                Ok(())
            })
        });
        if let Err(error) = made {
            self.unmake(&container).await;
            if let Err(error) = self.registry.remove(&container) {
                tracing::warn!(
                    container = container.id,
                    error = error.full_text(),
                    "the record of a failed create stays"
                );
            }
            self.drop_anonymous_volumes(&container.record());
            return Err(error);
        }
        self.event(&container, "create", &[]);
        Ok(Created { container, warnings })
    }

    /// Takes the name and puts the record on disk.
    fn enter(&self, record: Record, name: Option<&str>) -> Result<Arc<Container>> {
        if let Some(name) = name {
            return self.registry.add(Record { name: name.to_owned(), ..record });
        }
        for _ in 0..16 {
            let name = names::make_up(|name| self.registry.is_free(name));
            match self.registry.add(Record { name, ..record.clone() }) {
                // Another request took the same name in between.
                Err(error) if error.kind() == Kind::Conflict => {}
                result => return result,
            }
        }
        Err(Error::system("no free container name was found"))
    }

    /// The snapshot, the directories, the volumes.
    async fn make(&self, container: &Arc<Container>) -> Result<()> {
        let record = container.record();
        self.ensure_snapshot(&record).await?;
        let dir = self.data_dir(&record.id);
        let failed = |source: std::io::Error| {
            Error::caused(format!("make the files of container {}", record.id), source)
        };
        std::fs::create_dir_all(&dir).map_err(failed)?;
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o710))
            .map_err(failed)?;
        mounts::make_sources(&record.mounts, &self.volumes)?;
        if record.mounts.iter().any(|mount| mount.copy_up) {
            let mounts = self.client.snapshot_mounts(&record.snapshotter, &record.id).await?;
            let at = self.rootfs_dir(&record.id);
            let id = record.id.clone();
            let copied = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
                let rootfs = Rootfs::mount(&mounts, &at)?;
                for mount in record.mounts.iter().filter(|mount| mount.copy_up) {
                    copy_up::copy_up(&rootfs, &mount.destination, mount.source.as_ref())?;
                }
                Ok(())
            });
            let copied = copied.await.map_err(|source| Error::caused("copy into volumes", source))?;
            copied.map_err(|source| {
                Error::caused(format!("copy the image's files into the volumes of {id}"), source)
            })?;
        }
        Ok(())
    }

    /// The writable snapshot, under a lease that lasts as long as the container.
    pub(super) async fn ensure_snapshot(&self, record: &Record) -> Result<()> {
        let (id, snapshotter) = (record.id.as_str(), record.snapshotter.as_str());
        match self.client.snapshot(snapshotter, id).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        match self.client.create_lease(id, BTreeMap::new()).await {
            Err(error) if !error.is_already_exists() => return Err(error.into()),
            _ => {}
        }
        let leased = self.client.under_lease(id);
        match leased.prepare_snapshot(snapshotter, id, &record.image.chain_id, BTreeMap::new()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_exists() => Ok(()),
            Err(error) if error.is_not_found() && !record.image.chain_id.is_empty() => Err(Error::system(
                format!("the layers of image {} are not unpacked: {}", record.image.name, error.message()),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes away what [`make`](Self::make) made; goes on over failures.
    pub(super) async fn unmake(&self, container: &Container) {
        let (id, snapshotter) = container.read(|record| (record.id.clone(), record.snapshotter.clone()));
        super::rootfs::release(&self.rootfs_dir(&id));
        if let Err(error) = self.client.remove_snapshot(&snapshotter, &id).await {
            tracing::warn!(container = id, %error, cause = error.message(), "a snapshot stays");
        }
        if let Err(error) = self.client.delete_lease(&id, false).await {
            tracing::warn!(container = id, %error, cause = error.message(), "a lease stays");
        }
        for dir in [self.data_dir(&id), self.exec_dir(&id)] {
            if let Err(error) = std::fs::remove_dir_all(&dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(dir = %dir.display(), %error, "a container's directory stays");
            }
        }
    }
}
