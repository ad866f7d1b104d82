//! No unwinder.
//!
//! The shipped binary aborts on a panic (`panic = "abort"`) and has no symbols, so that a backtrace could show
//! nothing. Rust's own panic message would still bring along an unwinder, a reader of debug information and an
//! inflater for it: a quarter of a megabyte. With this stand-in for the unwinder's entry points (the Itanium
//! C++ ABI's `_Unwind_*`), link-time optimisation sees that no frame is ever visited, and drops all of it.

/// Declares the entry points of the unwinder as functions that find nothing, in a program that never unwinds.
#[macro_export]
macro_rules! no_unwinder {
    () => {
        $crate::no_unwinder! {
            _Unwind_GetDataRelBase, _Unwind_GetTextRelBase, _Unwind_GetIP, _Unwind_GetIPInfo,
            _Unwind_GetLanguageSpecificData, _Unwind_GetRegionStart, _Unwind_SetGR, _Unwind_SetIP,
        }

        /// Visits no frame, and says that the end of the stack is reached (`_URC_END_OF_STACK`).
        // SAFETY: no unwinder is linked, so that no other item has this name.
        #[allow(unsafe_code, non_snake_case)]
        #[unsafe(no_mangle)]
        pub extern "C" fn _Unwind_Backtrace() -> ::std::ffi::c_int {
            5
        }

        /// Goes on unwinding: there is none to go on with.
        // SAFETY: as above.
        #[allow(unsafe_code, non_snake_case)]
        #[unsafe(no_mangle)]
        pub extern "C" fn _Unwind_Resume() -> ! {
            ::std::process::abort()
        }
    };
    ($($name:ident),+ $(,)?) => {
        $(
            /// Asks about a frame, or changes one: there is none.
            // SAFETY: no unwinder is linked, so that no other item has this name.
            #[allow(unsafe_code, non_snake_case)]
            #[unsafe(no_mangle)]
            pub extern "C" fn $name() -> usize {
                0
            }
        )+
    };
}
