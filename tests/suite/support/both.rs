//! One test, both databases: a sentence holds on SQLite and on PostgreSQL or it does not hold.

/// Makes `name::on_sqlite` and `name::on_postgres` of an async function `name` that takes a `&$place`, which both
/// `$place::sqlite()` and `$place::postgres()` make anew.
macro_rules! on_both_databases {
    ($place:ident: $($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$name(&super::$place::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() {
                super::$name(&super::$place::postgres()).await;
            }
        })+
    };
}

pub(crate) use on_both_databases;
