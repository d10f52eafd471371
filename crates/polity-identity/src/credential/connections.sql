insert into api_scope (scope_name, description, resource_type, permission_type, is_default, is_deprecated) values
    ('read:connections', 'See connections with outside accounts', 'connection', 'read', false, false),
    ('write:connections', 'Begin, change and use connections', 'connection', 'write', false, false),
    ('delete:connections', 'Disconnect', 'connection', 'delete', false, false),
    ('admin:connections', 'Everything about connections but their tokens', 'connection', 'admin', false, false),
    ('issue:tokens', 'Take the access tokens of connections', 'connection', 'admin', false, false);
