"""Wipe the migrated database that all tests of a worker share.

Copying the template takes a hundred times longer. Like TRUNCATE it makes hundreds of files, and a test leaves few rows.
"""

from sqlalchemy import Engine, text

# Sessions that still work or hold locks are left over from the test.
END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND (state <> 'idle' OR EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid))
"""
WIPE = """
DO $$
DECLARE
    each record;
BEGIN
    SET LOCAL session_replication_role = replica;  -- ignore foreign keys
    FOR each IN
        SELECT oid::regclass AS name, pg_relation_size(oid) AS bytes FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'sivera_alembic_version'
    LOOP
        IF each.bytes > 500000 THEN
            EXECUTE format('TRUNCATE %s CASCADE', each.name);
        ELSIF each.bytes > 0 THEN
            EXECUTE format('DELETE FROM %s', each.name);
        END IF;
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""
SHAPE = """
SELECT string_agg(part, ' ' ORDER BY part) FROM (
    SELECT format('%s %s %s %s', relname, relacl, attname, attnotnull) AS part
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname FROM pg_trigger
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg%temp%'
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    UNION ALL SELECT version_num FROM sivera_alembic_version
) AS parts
"""


def shape_of(engine: Engine) -> str:
    """Return the names, rights and settings that tests must not leave changed."""
    with engine.connect() as connection:
        shape: str = connection.execute(text(SHAPE)).scalar_one()
    return shape


def wipe(engine: Engine) -> None:
    """Delete all rows, and let ids start at one again."""
    with engine.connect() as connection:
        ended = connection.execute(text(END_OTHERS)).all()
    if ended:
        engine.dispose()
    with engine.begin() as connection:
        connection.execute(text(WIPE))
