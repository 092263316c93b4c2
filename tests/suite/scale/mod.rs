//! Beyond one machine: every statement is a tenant's, and many tenants in one database do not meet.

mod statements;
mod tenants;
