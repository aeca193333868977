//! As much of libxml2 (2.9 and later) as a second opinion needs.
#![allow(unsafe_code, reason = "a C library is asked")]

use std::ffi::{CStr, c_char, c_int, c_void};

/// What libxml2 reads in a template.
pub struct Document {
    /// The text of the first `<Name>` at any depth.
    pub first_name: Option<String>,
    /// The texts of the root's own `<Repository>` elements.
    pub repositories: Vec<String>,
}

/// The common beginning of `struct _xmlNode`, the same since libxml2 2.0.
#[repr(C)]
struct Node {
    private: *mut c_void,
    kind: c_int,
    name: *const c_char,
    children: *const Node,
    last: *const Node,
    parent: *const Node,
    next: *const Node,
}

const ELEMENT: c_int = 1;
/// `XML_PARSE_NOERROR`, `XML_PARSE_NOWARNING` and `XML_PARSE_NONET`.
const SILENT: c_int = 1 << 5 | 1 << 6 | 1 << 11;

#[link(name = "xml2")]
unsafe extern "C" {
    fn xmlReadMemory(
        text: *const c_char,
        size: c_int,
        url: *const c_char,
        encoding: *const c_char,
        options: c_int,
    ) -> *mut c_void;
    fn xmlDocGetRootElement(document: *const c_void) -> *const Node;
    fn xmlNodeGetContent(node: *const Node) -> *mut c_char;
    fn xmlFreeDoc(document: *mut c_void);
    fn free(text: *mut c_void);
}

impl Document {
    /// `None` where libxml2 refuses it.
    pub fn read(bytes: &[u8]) -> Option<Document> {
        let size = c_int::try_from(bytes.len()).ok()?;
        // SAFETY: pointer and size belong together; the document is used up to xmlFreeDoc and not after it.
        unsafe {
            let document = xmlReadMemory(
                bytes.as_ptr().cast(),
                size,
                std::ptr::null(),
                std::ptr::null(),
                SILENT,
            );
            if document.is_null() {
                return None;
            }
            let root = xmlDocGetRootElement(document);
            let mut found = Document {
                first_name: None,
                repositories: Vec::new(),
            };
            found.walk(root, 1);
            xmlFreeDoc(document);
            Some(found)
        }
    }

    /// SAFETY: `node` is null or a node of a document that lives.
    unsafe fn walk(&mut self, mut node: *const Node, depth: usize) {
        while !node.is_null() {
            // SAFETY: as the caller says; `children` and `next` are null or nodes of the same document, and an element
            // has a name that ends in NUL.
            unsafe {
                if (*node).kind == ELEMENT {
                    let name = CStr::from_ptr((*node).name).to_bytes();
                    if name == b"Name" && self.first_name.is_none() {
                        self.first_name = Some(content(node));
                    }
                    if name == b"Repository" && depth == 2 {
                        self.repositories.push(content(node));
                    }
                    self.walk((*node).children, depth + 1);
                }
                node = (*node).next;
            }
        }
    }
}

/// SAFETY: `node` is an element of a document that lives.
unsafe fn content(node: *const Node) -> String {
    // SAFETY: as the caller says; the text ends in NUL and is ours to free.
    unsafe {
        let text = xmlNodeGetContent(node);
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        free(text.cast());
        owned
    }
}
