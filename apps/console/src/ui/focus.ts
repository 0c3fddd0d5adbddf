import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/**
 * Puts the cursor into the field of an element that is marked by `autofocus`, when the element appears and each time the key
 * changes. Browsers heed the mark once in a page's life, and in dialogs when they open.
 */
export function useFocus<E extends HTMLElement>(key?: string): RefObject<E | null> {
  const element = useRef<E>(null);
  useEffect(() => {
    element.current?.querySelector<HTMLElement>('[autofocus]')?.focus();
  }, [key]);
  return element;
}
