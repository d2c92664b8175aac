//! Whose conversations, runs, agents and tools are.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/owners.sql", name = "owners", requires = ["bootstrap"]);
