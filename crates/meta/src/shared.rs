use arc_swap::ArcSwap;
use pegasus_net::Identity;

use crate::addresses::Addresses;
use crate::owner::OwnerHandle;
use crate::settings::Settings;
use crate::view::View;

/// What every door of the meta server needs.
pub struct Shared {
    pub settings: Settings,
    pub identity: Identity,
    pub view: ArcSwap<View>,
    pub addresses: Addresses,
    pub owner: OwnerHandle,
}
