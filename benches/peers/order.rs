//! Floats as integers that sort as the floats do.

#[inline(always)]
pub fn order_32(bytes: &[u8; 4]) -> u32 {
    let bits = u32::from_le_bytes(*bytes);
    bits ^ (((bits as i32) >> 31) as u32 | 1 << 31)
}

#[inline(always)]
pub fn order_16(bytes: &[u8; 2]) -> u16 {
    let bits = u16::from_le_bytes(*bytes);
    bits ^ (((bits as i16) >> 15) as u16 | 1 << 15)
}

/// What [`order_32`] was made from.
#[inline(always)]
pub fn float_32(order: u32) -> [u8; 4] {
    let flip = if order >> 31 == 0 { u32::MAX } else { 1 << 31 };
    (order ^ flip).to_le_bytes()
}

/// What [`order_16`] was made from.
#[inline(always)]
pub fn float_16(order: u16) -> [u8; 2] {
    let flip = if order >> 15 == 0 { u16::MAX } else { 1 << 15 };
    (order ^ flip).to_le_bytes()
}
