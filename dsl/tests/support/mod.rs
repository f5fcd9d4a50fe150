//! A loader without files: texts, variables and what modules hold are given by the test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tidegate_dsl::plan::{Capability, Extension};
use tidegate_dsl::{Loader, ModuleFacts, ModuleHook, Need};

/// What a test lets the compiler see.
pub(crate) struct TestLoader {
    texts: HashMap<PathBuf, String>,
}

impl TestLoader {
    /// One policy.
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self { texts: HashMap::from([(path.to_path_buf(), text.to_owned())]) }
    }
}

impl Loader for TestLoader {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.texts.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn env(&self, name: &str) -> Option<String> {
        match name {
            "BACKEND" => Some("10.9.8.7:8080".to_owned()),
            "GREETING" => Some("hello ${host}".to_owned()),
            _ => None,
        }
    }

    /// The name of the module says what it holds.
    fn module(&self, extension: &Extension) -> Result<ModuleFacts, String> {
        let name = Path::new(&extension.module).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let need = |import: &str, capability| Need { import: format!("tidegate:extension/{import}"), capability };
        let hooks = vec![ModuleHook::Request, ModuleHook::Response];
        let facts = ModuleFacts { hooks, ..ModuleFacts::default() };
        Ok(match name.as_str() {
            "missing" => return Err("no such file".to_owned()),
            "hookless" => ModuleFacts::default(),
            "unknown-import" => ModuleFacts { unknown_imports: vec!["wasi:sockets/tcp.connect".to_owned()], ..facts },
            "refusing" => ModuleFacts { init_error: Some("`header` is not set".to_owned()), ..facts },
            "writer" => ModuleFacts {
                needs: vec![
                    need("request.get", Capability::ReadRequest),
                    need("request.set", Capability::WriteRequestHeaders),
                    need("request.add", Capability::WriteRequestHeaders),
                ],
                ..facts
            },
            _ => facts,
        })
    }
}
