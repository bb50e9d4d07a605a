"""What Alembic runs for each migration: it works on the connection, and in the transaction, that database.migrate gives it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
