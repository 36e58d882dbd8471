//! Tables of users: files become sets.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::{
    classify::{LineError, Table, TableBuilder},
    config::document::{At, FilePath, Named, Reader},
    name::Name,
};

/// The most tables: each is a label of metrics.
const TABLES_MAX: usize = 100;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// A table, and what it is called.
#[derive(Clone, Debug)]
pub struct NamedTable {
    /// Its name.
    pub name: Name,
    /// Who is in it.
    pub table: Arc<Table>,
    /// SHA-256 over its file.
    pub digest: Box<[u8]>,
}

/// Why a file is no table.
enum Trouble {
    Unreadable(io::Error),
    Line(usize, LineTrouble),
}

enum LineTrouble {
    NotText,
    Endless,
    Refused(LineError),
}

/// Reads all of them.
pub(super) fn lower(tables: Option<&At<Named<FilePath>>>, reader: &mut Reader) -> Vec<NamedTable> {
    let Some(tables) = tables else { return Vec::new() };
    super::bounded(tables.value.entries.len(), TABLES_MAX, "tables", tables.key, reader);
    let mut lowered = Vec::new();
    for (written, path) in &tables.value.entries {
        let name = match Name::parse(&written.value) {
            Ok(name) => name,
            Err(error) => {
                let message = format!("`{}` is not a name: {error}", written.value);
                reader.error(written.span, message);
                continue;
            }
        };
        let at = At { value: path.clone(), span: written.span, key: written.key };
        // One that cannot be read has been complained about; rules may speak of it all the same.
        let read = read(&at, reader);
        let (table, digest) =
            read.unwrap_or_else(|| (TableBuilder::default().finish(), Vec::new()));
        lowered.push(NamedTable { name, table: Arc::new(table), digest: digest.into() });
    }
    lowered
}

fn read(at: &At<FilePath>, reader: &mut Reader) -> Option<(Table, Vec<u8>)> {
    let looked_at = reader.path(at.span, &at.value.text);
    reader.looked_at.push(looked_at);
    let path = reader.file_is_there(at.span, &at.value.text)?;
    match lines(&path) {
        Ok((table, digest)) => {
            reader.read.push(digest.clone());
            Some((table, digest))
        }
        Err(trouble) => {
            reader.error(at.span, format!("{}{}", path.display(), trouble.said()));
            None
        }
    }
}

/// The table and the digest of its file, which is never whole in memory.
fn lines(path: &Path) -> Result<(Table, Vec<u8>), Trouble> {
    let mut file =
        BufReader::with_capacity(1 << 16, File::open(path).map_err(Trouble::Unreadable)?);
    let (mut table, mut digest) = (TableBuilder::default(), Sha256::new());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = io::Read::take(&mut file, LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line).map_err(Trouble::Unreadable)?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            return Err(Trouble::Line(number, LineTrouble::Endless));
        }
        digest.update(&line);
        let text = std::str::from_utf8(&line);
        let text = text.map_err(|_| Trouble::Line(number, LineTrouble::NotText))?;
        table.line(text).map_err(|error| Trouble::Line(number, LineTrouble::Refused(error)))?;
    }
    Ok((table.finish(), digest.finalize().to_vec()))
}

// === impl Trouble ===

impl Trouble {
    /// Follows the file's path.
    fn said(&self) -> String {
        match self {
            Trouble::Unreadable(error) => format!(" cannot be read: {error}"),
            Trouble::Line(number, LineTrouble::NotText) => format!(":{number} is not UTF-8"),
            Trouble::Line(number, LineTrouble::Endless) => {
                format!(":{number} is longer than {LINE_BYTES_MAX} bytes")
            }
            Trouble::Line(number, LineTrouble::Refused(error)) => format!(":{number}: {error}"),
        }
    }
}
