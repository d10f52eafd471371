-- When somebody last was this consumer. What nobody is any more keeps no events.
alter table event_consumer add column seen_at timestamptz null;
