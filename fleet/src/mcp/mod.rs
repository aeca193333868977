pub struct Settings {
    pub tests: crate::fleet::Access,
    pub admin: Option<crate::fleet::Access>,
    pub read_only: bool,
    pub allow_branch: Vec<String>,
    pub max_hosts: Option<usize>,
    pub require_approval: bool,
}
pub async fn serve(_settings: Result<Settings, (u8, String)>) -> Result<u8, (u8, String)> {
    Ok(0)
}
