//! Knowing a database by its image and by where it keeps its files.

use std::path::Path;

use super::container::Container;
use super::dump_preset::DumpPreset;

/// Programs, by the first word of an image's name.
const PROGRAMS: [(&str, DumpPreset); 13] = [
    ("postgres", DumpPreset::Postgres),
    ("postgresql", DumpPreset::Postgres),
    ("postgis", DumpPreset::Postgres),
    ("pgvector", DumpPreset::Postgres),
    ("timescaledb", DumpPreset::Postgres),
    ("mysql", DumpPreset::Mysql),
    ("percona", DumpPreset::Mysql),
    ("mariadb", DumpPreset::Mariadb),
    ("mongo", DumpPreset::Mongodb),
    ("mongodb", DumpPreset::Mongodb),
    ("percona_mongodb", DumpPreset::Mongodb),
    ("redis", DumpPreset::Redis),
    ("valkey", DumpPreset::Redis),
];

/// Further words of a name that make it a companion of the database, which keeps no data of its own.
const COMPANIONS: [&str; 12] = [
    "admin", "backup", "client", "commander", "express", "exporter", "insight", "operator", "proxy", "router",
    "sentinel", "tools",
];

/// Where databases keep their files, whatever their image is called. Below these.
const FOLDERS: [(&str, DumpPreset); 5] = [
    ("/var/lib/postgresql", DumpPreset::Postgres),
    ("/bitnami/postgresql", DumpPreset::Postgres),
    ("/var/lib/mysql", DumpPreset::Mysql),
    ("/bitnami/mariadb", DumpPreset::Mariadb),
    ("/data/db", DumpPreset::Mongodb),
];

/// Which database a container is, as far as its image and its mounts tell.
#[must_use]
pub fn database_of(container: &Container) -> Option<DumpPreset> {
    by_image(container.image.as_str()).or_else(|| by_mounts(container))
}

/// What of `registry.example:5000/team/postgres-17:latest@sha256:…` is the program's name decides.
fn by_image(image: &str) -> Option<DumpPreset> {
    let path = image.split('@').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let mut words = name.split(['-', '_', '.']);
    let first = words.next().unwrap_or_default();
    if words.any(|word| COMPANIONS.contains(&word)) {
        return None;
    }
    PROGRAMS.iter().find(|(program, _)| *program == first).map(|(_, preset)| *preset)
}

fn by_mounts(container: &Container) -> Option<DumpPreset> {
    let keeps = |folder: &str| {
        container.mounts.iter().any(|mount| mount.writable && mount.destination.starts_with(Path::new(folder)))
    };
    FOLDERS.iter().find(|(folder, _)| keeps(folder)).map(|(_, preset)| *preset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_by_their_programs_name_alone() {
        for (image, preset) in [
            ("postgres:17", Some(DumpPreset::Postgres)),
            ("docker.io/bitnami/postgresql-repmgr:16@sha256:00", Some(DumpPreset::Postgres)),
            ("registry.example:5000/team/MariaDB", Some(DumpPreset::Mariadb)),
            ("mysql-server", Some(DumpPreset::Mysql)),
            ("mongodb/mongodb-community-server:7", Some(DumpPreset::Mongodb)),
            ("valkey/valkey", Some(DumpPreset::Redis)),
            ("mongo-express", None),
            ("prometheuscommunity/postgres-exporter", None),
            ("rediscommander/redis-commander", None),
            ("postgrest/postgrest", None),
            ("postgres/app", None),
            ("phpmyadmin", None),
        ] {
            assert_eq!(by_image(image), preset, "{image}");
        }
    }
}
