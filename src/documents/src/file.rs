//! A file and the hints at its type.

/// A file.
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its name or path.
    pub name: Option<String>,
    /// Its media type.
    pub mime: Option<String>,
}

impl File {
    /// The end of the name after its last dot, in lower case.
    pub fn extension(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        let (stem, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
        (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_lowercase())
    }
}
