//! What each change of a plugin does to its row and packages; runs within a transaction.

use pitchside_model::{PluginName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{PackageDigest, PluginChange, PluginPackage, PluginRow, one};
use crate::error::StoreError;
use crate::sql;

pub(crate) fn put_row(connection: &Connection, row: &PluginRow) -> Result<(), StoreError> {
    let tried = row.candidate;
    connection.prepare_cached(sql!("plugins/put"))?.execute(params![
        row.name.as_str(),
        row.current,
        row.previous,
        tried.map(|tried| tried.sha256),
        tried.map_or(0, |tried| tried.payloads),
        tried.map_or(0, |tried| tried.until.0),
        tried.is_some_and(|tried| tried.differ),
        row.enabled,
        row.generation.cast_signed(),
    ])?;
    Ok(())
}

pub(crate) fn put_package(connection: &Connection, package: &PluginPackage) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("plugins/package_put"))?.execute(params![
        package.sha256,
        package.name.as_str(),
        package.version,
        package.signer,
        package.archive,
        package.note,
        package.installed_at.0,
    ])?;
    Ok(())
}

fn take_in(connection: &Connection, package: &PluginPackage, grants: &[String]) -> Result<(), StoreError> {
    put_package(connection, package)?;
    grants.iter().try_for_each(|grant| permit(connection, &package.name, grant))
}

pub(crate) fn permit(connection: &Connection, name: &PluginName, capability: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("plugins/grant"))?.execute([name.as_str(), capability])?;
    Ok(())
}

fn conflict(name: &PluginName, why: &str) -> StoreError {
    StoreError::Conflict(format!("plugin {name} {why}"))
}

/// What was decided beside something else is not done.
fn unchanged(row: &PluginRow, is_so: bool) -> Result<(), StoreError> {
    if is_so { Ok(()) } else { Err(conflict(&row.name, "was changed by somebody else meanwhile: look again")) }
}

/// Whether it was decided beside what runs now: whether a package may come in depends on that.
fn still_runs(row: &PluginRow, after: Option<PackageDigest>) -> Result<(), StoreError> {
    unchanged(row, row.current == after)
}

/// What is tried is tried anew from now on, for as long as it was to be from the beginning: what was found under other settings says nothing.
fn try_anew(connection: &Connection, row: &mut PluginRow, at: Timestamp) -> Result<(), StoreError> {
    let Some(tried) = &mut row.candidate else { return Ok(()) };
    let since: Option<i64> = connection
        .prepare_cached(sql!("plugins/package"))?
        .query_row([tried.sha256], |package| package.get(5))
        .optional()?;
    let Some(since) = since else { return Ok(()) };
    tried.until = at.plus_micros(tried.until.micros_since(Timestamp(since)));
    connection.prepare_cached(sql!("plugins/package_since"))?.execute(params![tried.sha256, at.0])?;
    put_row(connection, row)
}

/// Whether there was anything to change.
pub(super) fn change(
    connection: &Connection,
    name: &PluginName,
    change: &PluginChange,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let mut row = one(connection, name)?.unwrap_or_else(|| PluginRow::new(name.clone()));
    match change {
        PluginChange::Install { package, grants, after } => {
            still_runs(&row, *after)?;
            take_in(connection, package, grants)?;
            (row.previous, row.current, row.candidate) = (row.current, Some(package.sha256), None);
            row.generation += 1;
        }
        PluginChange::Try { package, grants, candidate, after } => {
            still_runs(&row, *after)?;
            if row.candidate.is_some() {
                return Err(conflict(name, "has a version on trial already: wait for it, or roll it back"));
            }
            take_in(connection, package, grants)?;
            row.candidate = Some(*candidate);
        }
        PluginChange::Settle { candidate, takes_over } => {
            if row.candidate.is_none_or(|tried| tried.sha256 != *candidate) {
                return Ok(false);
            }
            row.candidate = None;
            if *takes_over {
                (row.previous, row.current) = (row.current, Some(*candidate));
                row.generation += 1;
            }
        }
        PluginChange::RollBack { to: None } => {
            unchanged(&row, row.candidate.is_some())?;
            row.candidate = None;
        }
        PluginChange::RollBack { to: Some(to) } => {
            unchanged(&row, row.candidate.is_none() && row.previous == Some(*to))?;
            (row.previous, row.current) = (row.current, Some(*to));
            row.generation += 1;
        }
        PluginChange::Enable(enabled) => {
            (row.enabled, row.generation) = (*enabled, row.generation + 1);
        }
        PluginChange::Remove => {
            connection.prepare_cached(sql!("plugins/remove"))?.execute([name.as_str()])?;
            connection.prepare_cached(sql!("plugins/withdraw_all"))?.execute([name.as_str()])?;
            connection.prepare_cached(sql!("plugins/settings_drop"))?.execute([name.as_str()])?;
            crate::delivery::forget(connection, name)?;
            crate::states::forget_plugin(connection, name)?;
            connection.prepare_cached(sql!("plugins/package_trim"))?.execute([name.as_str()])?;
            return Ok(true);
        }
        PluginChange::Grant(capability) => {
            permit(connection, name, capability)?;
            return Ok(true);
        }
        PluginChange::Set(setting) => {
            setting.put(connection, name)?;
            try_anew(connection, &mut row, at)?;
            return Ok(true);
        }
        PluginChange::Unset { key, secret } => {
            let mut statement = connection.prepare_cached(sql!("plugins/setting_drop"))?;
            let was_set = statement.execute(params![name.as_str(), secret, key])? > 0;
            if was_set {
                try_anew(connection, &mut row, at)?;
            }
            return Ok(was_set);
        }
        PluginChange::Withdraw(capability) => {
            return Ok(connection
                .prepare_cached(sql!("plugins/withdraw"))?
                .execute([name.as_str(), capability.as_str()])?
                > 0);
        }
    }
    put_row(connection, &row)?;
    connection.prepare_cached(sql!("plugins/package_trim"))?.execute([name.as_str()])?;
    Ok(true)
}
