alter table account add column erased_at timestamptz null;
