//! The command for which an event trigger was called.

use pgrx::pg_sys::AlterTableType::{
    AT_AddColumn, AT_AddConstraint, AT_AddIdentity, AT_AlterConstraint, AT_ClusterOn, AT_ColumnDefault,
    AT_DropCluster, AT_DropColumn, AT_DropConstraint, AT_DropIdentity, AT_DropNotNull, AT_ReplicaIdentity,
    AT_ResetOptions, AT_ResetRelOptions, AT_SetCompression, AT_SetIdentity, AT_SetNotNull, AT_SetOptions,
    AT_SetRelOptions, AT_SetStatistics, AT_SetStorage, AT_SetTableSpace, AT_ValidateConstraint,
};
use pgrx::{PgList, pg_sys};

/// What a command may do to the rows of tables that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEffect {
    /// Values or visible rows may change although no trigger of the table fires.
    Any,
    /// Nothing: the other columns of each row keep their values.
    None,
    /// The command creates a table without rows, for example a partition.
    NewTable,
}

/// Actions of ALTER TABLE that leave the values of the table's other columns and its triggers as they are. All others
/// are assumed to change rows: those on types, triggers, partitions, inheritance, owners and row-level security.
const HARMLESS: [pg_sys::AlterTableType::Type; 23] = [
    AT_AddColumn,
    AT_AddConstraint,
    AT_AddIdentity,
    AT_AlterConstraint,
    AT_ClusterOn,
    AT_ColumnDefault,
    AT_DropCluster,
    AT_DropColumn,
    AT_DropConstraint,
    AT_DropIdentity,
    AT_DropNotNull,
    AT_ReplicaIdentity,
    AT_ResetOptions,
    AT_ResetRelOptions,
    AT_SetCompression,
    AT_SetIdentity,
    AT_SetNotNull,
    AT_SetOptions,
    AT_SetRelOptions,
    AT_SetStatistics,
    AT_SetStorage,
    AT_SetTableSpace,
    AT_ValidateConstraint,
];

/// The effect on rows of the command of an event trigger's call. A function that is not called as an event trigger
/// gets [`RowEffect::Any`].
///
/// # Safety
/// `fcinfo` must belong to a call in progress.
pub unsafe fn row_effect(fcinfo: pg_sys::FunctionCallInfo) -> RowEffect {
    // SAFETY: an event trigger's call has its data as context, and the command's parse tree lives as long as the command.
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_EventTriggerData {
            return RowEffect::Any;
        }
        let command = (*context.cast::<pg_sys::EventTriggerData>()).parsetree;
        match command.as_ref().map(|command| command.type_) {
            Some(pg_sys::NodeTag::T_CreateStmt) => RowEffect::NewTable,
            Some(pg_sys::NodeTag::T_RenameStmt) => RowEffect::None,
            Some(pg_sys::NodeTag::T_AlterTableStmt) => {
                let actions = (*command.cast::<pg_sys::AlterTableStmt>()).cmds;
                let actions = PgList::<pg_sys::AlterTableCmd>::from_pg(actions);
                let is_harmless = |action: *mut pg_sys::AlterTableCmd| HARMLESS.contains(&(*action).subtype);
                if actions.iter_ptr().all(is_harmless) { RowEffect::None } else { RowEffect::Any }
            }
            _ => RowEffect::Any,
        }
    }
}
